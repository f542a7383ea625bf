import { success } from '../../http/envelope.ts'
import { formatEtag, readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { updateTask } from '../commands.ts'
import { IfMatchHeaders, NoQuery, type TaskCompleteBody, TaskCompleteSchema, TaskParams } from '../schema.ts'
import { type TaskRouteDependencies, taskResponse } from './shared.ts'

export function registerCompleteTask(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'PATCH',
    url: '/api/:user_id/tasks/:task_id/complete',
    schema: {
      operationId: 'completeTask',
      tags: ['Tasks'],
      summary: 'Complete or reopen a task',
      description: 'With a body, sets `completed`; without one, turns it into its opposite.',
      params: TaskParams,
      querystring: NoQuery,
      headers: IfMatchHeaders,
      body: TaskCompleteSchema,
      'x-optional-body': true,
      consumes: ['application/json', 'application/merge-patch+json'],
      response: {
        200: taskResponse('The task after the change.'),
        ...errorResponses(...bodyErrors, 'TASK_NOT_FOUND', 'PRECONDITION_FAILED'),
      },
    },
    async handler(request, reply) {
      const ifMatch = readIfMatch(request.headers['if-match'])
      // Without a body there is none to validate, and the type provider cannot know.
      const completed = (request.body as TaskCompleteBody | undefined)?.completed ?? 'toggle'
      const scope = database.scopeFor(request.userId)
      const task = await updateTask(scope, request.params.task_id, { completed }, ifMatch)
      reply.header('etag', formatEtag(task.version))
      return success(request, task)
    },
  })
}
