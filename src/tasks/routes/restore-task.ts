import { bodyErrors, errorResponses, idempotencyErrors, replayedHeader } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { answerOnce } from '../../idempotency/answer-once.ts'
import { IdempotencyHeaders } from '../../idempotency/schema.ts'
import { NoQuery, TaskParams } from '../schema.ts'
import { restoreTask } from '../trash-commands.ts'
import { type TaskRouteDependencies, taskAnswer, taskResponse } from './shared.ts'

export function registerRestoreTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'POST',
    url: '/api/:user_id/tasks/:task_id/restore',
    config: { idempotent: true },
    schema: {
      operationId: 'restoreTask',
      tags: ['Trash'],
      summary: 'Take a task out of the trash',
      description:
        'The task has the same id and a higher version. A task that is not in the trash stays as it is. Send no body.',
      params: TaskParams,
      querystring: NoQuery,
      headers: IdempotencyHeaders,
      'x-no-body': true,
      response: {
        200: taskResponse('The task, in the list again.', replayedHeader),
        ...errorResponses(...bodyErrors, ...idempotencyErrors, 'TASK_NOT_FOUND'),
      },
    },
    handler: (request, reply) =>
      answerOnce(database, request, reply, async (scope) =>
        taskAnswer(await restoreTask(scope, request.params.task_id)),
      ),
  })
}
