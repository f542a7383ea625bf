import { success } from '../../http/envelope.ts'
import { formatEtag, readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { deleteTask } from '../commands.ts'
import { IfMatchHeaders, NoQuery, TaskParams } from '../schema.ts'
import { type TaskRouteDependencies, taskResponse } from './shared.ts'

export function registerDeleteTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'DELETE',
    url: '/api/:user_id/tasks/:task_id',
    schema: {
      operationId: 'deleteTask',
      tags: ['Tasks'],
      summary: 'Delete a task',
      description: 'Answers with the task and its ETag as they were before.',
      params: TaskParams,
      querystring: NoQuery,
      headers: IfMatchHeaders,
      response: {
        200: taskResponse('The task as it was.'),
        ...errorResponses(...bodyErrors, 'TASK_NOT_FOUND', 'PRECONDITION_FAILED'),
      },
    },
    async handler(request, reply) {
      const ifMatch = readIfMatch(request.headers['if-match'])
      const task = await deleteTask(database.scopeFor(request.userId), request.params.task_id, ifMatch)
      reply.header('etag', formatEtag(task.version))
      return success(request, task)
    },
  })
}
