import { success } from '../../http/envelope.ts'
import { formatEtag } from '../../http/etag.ts'
import { bodyErrors, errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { NoQuery, TaskParams } from '../schema.ts'
import { restoreTask } from '../trash-commands.ts'
import { type TaskRouteDependencies, taskResponse } from './shared.ts'

export function registerRestoreTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'POST',
    url: '/api/:user_id/tasks/:task_id/restore',
    schema: {
      operationId: 'restoreTask',
      tags: ['Trash'],
      summary: 'Take a task out of the trash',
      description:
        'The task has the same id and a higher version. A task that is not in the trash stays as it is. Send no body.',
      params: TaskParams,
      querystring: NoQuery,
      'x-no-body': true,
      response: {
        200: taskResponse('The task, in the list again.'),
        ...errorResponses(...bodyErrors, 'TASK_NOT_FOUND'),
      },
    },
    async handler(request, reply) {
      const task = await restoreTask(database.scopeFor(request.userId), request.params.task_id)
      reply.header('etag', formatEtag(task.version))
      return success(request, task)
    },
  })
}
