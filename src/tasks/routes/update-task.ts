import { Type } from 'typebox'
import { readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses, idempotencyErrors, replayedHeader } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { answerOnce } from '../../idempotency/answer-once.ts'
import { IdempotencyHeaders } from '../../idempotency/schema.ts'
import { updateTask } from '../commands.ts'
import { IfMatchHeaders, NoQuery, TaskParams, TaskUpdateSchema } from '../schema.ts'
import { type TaskRouteDependencies, taskAnswer, taskResponse } from './shared.ts'

export function registerUpdateTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'PATCH',
    url: '/api/:user_id/tasks/:task_id',
    config: { idempotent: true },
    schema: {
      operationId: 'updateTask',
      tags: ['Tasks'],
      summary: 'Update fields of a task',
      description:
        'A merge patch (RFC 7396); `application/merge-patch+json` is understood too. An empty one changes nothing.',
      params: TaskParams,
      querystring: NoQuery,
      headers: Type.Object({ ...IfMatchHeaders.properties, ...IdempotencyHeaders.properties }),
      body: TaskUpdateSchema,
      consumes: ['application/json', 'application/merge-patch+json'],
      response: {
        200: taskResponse('The task after the change.', replayedHeader),
        ...errorResponses(...bodyErrors, ...idempotencyErrors, 'TASK_NOT_FOUND', 'PRECONDITION_FAILED'),
      },
    },
    handler(request, reply) {
      const { body, params, headers } = request
      const ifMatch = readIfMatch(headers['if-match'])
      return answerOnce(database, request, reply, async (scope) =>
        taskAnswer(await updateTask(scope, params.task_id, body, ifMatch)),
      )
    },
  })
}
