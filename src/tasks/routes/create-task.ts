import { success } from '../../http/envelope.ts'
import { formatEtag } from '../../http/etag.ts'
import { bodyErrors, errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { createTask } from '../commands.ts'
import { NoQuery, TaskCreateSchema, UserParams } from '../schema.ts'
import { type TaskRouteDependencies, taskResponse } from './shared.ts'

const location = { Location: 'The path of the task.' }

export function registerCreateTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'POST',
    url: '/api/:user_id/tasks',
    schema: {
      operationId: 'createTask',
      tags: ['Tasks'],
      summary: 'Create a task',
      description: 'With an `id` of your own the request can be repeated: the same content answers 200.',
      params: UserParams,
      querystring: NoQuery,
      body: TaskCreateSchema,
      response: {
        201: taskResponse('The new task.', location),
        200: taskResponse('A task with this id and content was there already.', location),
        ...errorResponses(...bodyErrors, 'TASK_EXISTS'),
      },
    },
    async handler(request, reply) {
      const { created, task } = await createTask(database.scopeFor(request.userId), request.body)
      reply
        .code(created ? 201 : 200)
        .header('etag', formatEtag(task.version))
        .header('location', `/api/${encodeURIComponent(task.user_id)}/tasks/${task.id}`)
      return success(request, task)
    },
  })
}
