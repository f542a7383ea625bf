import { success } from '../../http/envelope.ts'
import { formatEtag, matchesIfNoneMatch } from '../../http/etag.ts'
import { errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { getTask } from '../commands.ts'
import { IfNoneMatchHeaders, NoQuery, TaskParams } from '../schema.ts'
import { type TaskRouteDependencies, taskResponse } from './shared.ts'

export function registerGetTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/tasks/:task_id',
    schema: {
      operationId: 'getTask',
      tags: ['Tasks'],
      summary: 'Read a task',
      params: TaskParams,
      querystring: NoQuery,
      headers: IfNoneMatchHeaders,
      response: {
        200: taskResponse('The task.'),
        304: { description: 'If-None-Match names the present ETag.', type: 'null' },
        ...errorResponses('TASK_NOT_FOUND'),
      },
    },
    async handler(request, reply) {
      const task = await getTask(database.scopeFor(request.userId), request.params.task_id)
      const etag = formatEtag(task.version)
      reply.header('etag', etag)
      if (matchesIfNoneMatch(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return success(request, task)
    },
  })
}
