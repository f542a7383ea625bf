import { bodyErrors, errorResponses, idempotencyErrors, replayedHeader } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { answerOnce } from '../../idempotency/answer-once.ts'
import { IdempotencyHeaders } from '../../idempotency/schema.ts'
import { createTask } from '../commands.ts'
import { NoQuery, TaskCreateSchema, UserParams } from '../schema.ts'
import { type TaskRouteDependencies, taskAnswer, taskResponse } from './shared.ts'

const headers = { Location: 'The path of the task.', ...replayedHeader }

export function registerCreateTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'POST',
    url: '/api/:user_id/tasks',
    config: { idempotent: true },
    schema: {
      operationId: 'createTask',
      tags: ['Tasks'],
      summary: 'Create a task',
      description: 'With an `id` of your own the request can be repeated: the same content answers 200.',
      params: UserParams,
      querystring: NoQuery,
      headers: IdempotencyHeaders,
      body: TaskCreateSchema,
      response: {
        201: taskResponse('The new task.', headers),
        200: taskResponse('A task with this id and content was there already.', headers),
        ...errorResponses(...bodyErrors, ...idempotencyErrors, 'TASK_EXISTS'),
      },
    },
    handler: (request, reply) =>
      answerOnce(database, request, reply, async (scope) => {
        const { created, task } = await createTask(scope, request.body)
        const location = `/api/${encodeURIComponent(task.user_id)}/tasks/${task.id}`
        return { ...taskAnswer(task, created ? 201 : 200), location }
      }),
  })
}
