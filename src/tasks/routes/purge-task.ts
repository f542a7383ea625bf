import { Type } from 'typebox'
import { success } from '../../http/envelope.ts'
import { formatEtag, readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses, successResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { IfMatchHeaders, NoQuery, TaskParams } from '../schema.ts'
import { purgeTask } from '../trash-commands.ts'
import { exampleTrashedTask } from '../trash-schema.ts'
import type { TaskRouteDependencies } from './shared.ts'

export function registerPurgeTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'DELETE',
    url: '/api/:user_id/trash/:task_id',
    schema: {
      operationId: 'purgeTask',
      tags: ['Trash'],
      summary: 'Remove a task in the trash for good',
      description: 'Answers with the task and its ETag as they were. A task that is not in the trash is 404.',
      params: TaskParams,
      querystring: NoQuery,
      headers: IfMatchHeaders,
      response: {
        200: successResponse({
          description: 'The task as it was.',
          data: Type.Ref('TrashedTask#'),
          example: exampleTrashedTask,
          headers: { ETag: "The task's version, quoted." },
        }),
        ...errorResponses(...bodyErrors, 'TASK_NOT_FOUND', 'PRECONDITION_FAILED'),
      },
    },
    async handler(request, reply) {
      const ifMatch = readIfMatch(request.headers['if-match'])
      const task = await purgeTask(database.scopeFor(request.userId), request.params.task_id, ifMatch)
      reply.header('etag', formatEtag(task.version))
      return success(request, task)
    },
  })
}
