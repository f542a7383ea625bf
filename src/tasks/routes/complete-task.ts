import { Type } from 'typebox'
import { readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses, idempotencyErrors, replayedHeader } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { answerOnce } from '../../idempotency/answer-once.ts'
import { IdempotencyHeaders } from '../../idempotency/schema.ts'
import { updateTask } from '../commands.ts'
import { IfMatchHeaders, NoQuery, type TaskCompleteBody, TaskCompleteSchema, TaskParams } from '../schema.ts'
import { type TaskRouteDependencies, taskAnswer, taskResponse } from './shared.ts'

export function registerCompleteTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'PATCH',
    url: '/api/:user_id/tasks/:task_id/complete',
    config: { idempotent: true },
    schema: {
      operationId: 'completeTask',
      tags: ['Tasks'],
      summary: 'Complete or reopen a task',
      description: 'With a body, sets `completed`; without one, turns it into its opposite.',
      params: TaskParams,
      querystring: NoQuery,
      headers: Type.Object({ ...IfMatchHeaders.properties, ...IdempotencyHeaders.properties }),
      body: TaskCompleteSchema,
      'x-optional-body': true,
      consumes: ['application/json', 'application/merge-patch+json'],
      response: {
        200: taskResponse('The task after the change.', replayedHeader),
        ...errorResponses(...bodyErrors, ...idempotencyErrors, 'TASK_NOT_FOUND', 'PRECONDITION_FAILED'),
      },
    },
    handler(request, reply) {
      const ifMatch = readIfMatch(request.headers['if-match'])
      // Without a body there is none to validate, and the type provider cannot know.
      const completed = (request.body as TaskCompleteBody | undefined)?.completed ?? 'toggle'
      return answerOnce(database, request, reply, async (scope) =>
        taskAnswer(await updateTask(scope, request.params.task_id, { completed }, ifMatch)),
      )
    },
  })
}
