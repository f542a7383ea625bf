import { success } from '../../http/envelope.ts'
import { formatEtag, readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { updateTask } from '../commands.ts'
import { IfMatchHeaders, NoQuery, TaskParams, TaskUpdateSchema } from '../schema.ts'
import { type TaskRouteDependencies, taskResponse } from './shared.ts'

export function registerUpdateTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'PATCH',
    url: '/api/:user_id/tasks/:task_id',
    schema: {
      operationId: 'updateTask',
      tags: ['Tasks'],
      summary: 'Update fields of a task',
      description:
        'A merge patch (RFC 7396); `application/merge-patch+json` is understood too. An empty one changes nothing.',
      params: TaskParams,
      querystring: NoQuery,
      headers: IfMatchHeaders,
      body: TaskUpdateSchema,
      consumes: ['application/json', 'application/merge-patch+json'],
      response: {
        200: taskResponse('The task after the change.'),
        ...errorResponses(...bodyErrors, 'TASK_NOT_FOUND', 'PRECONDITION_FAILED'),
      },
    },
    async handler(request, reply) {
      const ifMatch = readIfMatch(request.headers['if-match'])
      const scope = database.scopeFor(request.userId)
      const task = await updateTask(scope, request.params.task_id, request.body, ifMatch)
      reply.header('etag', formatEtag(task.version))
      return success(request, task)
    },
  })
}
