import { success } from '../../http/envelope.ts'
import { formatEtag, readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { updateTask } from '../commands.ts'
import { IfMatchHeaders, NoQuery, TaskParams, TaskReplaceSchema } from '../schema.ts'
import { type TaskRouteDependencies, taskResponse } from './shared.ts'

export function registerReplaceTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'PUT',
    url: '/api/:user_id/tasks/:task_id',
    schema: {
      operationId: 'replaceTask',
      tags: ['Tasks'],
      summary: 'Replace fields of a task',
      description:
        'A field that is left out keeps its value. Values equal to the stored ones change nothing and keep the version.',
      params: TaskParams,
      querystring: NoQuery,
      headers: IfMatchHeaders,
      body: TaskReplaceSchema,
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
