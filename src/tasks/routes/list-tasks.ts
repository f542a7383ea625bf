import { Type } from 'typebox'
import { success } from '../../http/envelope.ts'
import { errorResponses, successResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { readCursor, writeCursor } from '../list-cursor.ts'
import { listTasks } from '../list-store.ts'
import { exampleTask, ListQuery, UserParams } from '../schema.ts'
import type { TaskRouteDependencies } from './shared.ts'

const defaultLimit = 100

export function registerListTasks(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/tasks',
    schema: {
      operationId: 'listTasks',
      tags: ['Tasks'],
      summary: "List the user's tasks, newest first",
      params: UserParams,
      querystring: ListQuery,
      response: {
        200: successResponse({
          description: 'A page of tasks.',
          data: Type.Array(Type.Ref('Task#')),
          example: [exampleTask],
          meta: {
            next_cursor: Type.Union([Type.String(), Type.Null()], { description: 'null on the last page.' }),
          },
          exampleMeta: { next_cursor: null },
          headers: { Link: 'The next page, with rel="next", where there is one (RFC 8288).' },
        }),
        ...errorResponses('INVALID_CURSOR'),
      },
    },
    async handler(request, reply) {
      const { completed, limit = defaultLimit, cursor } = request.query
      const after = readCursor(request.userId, completed, cursor)
      const found = await listTasks(database.scopeFor(request.userId), { completed, after, limit: limit + 1 })
      const page = found.slice(0, limit)
      const last = page.at(-1)
      // One task more than asked for tells whether a page follows.
      const next =
        found.length > limit && last !== undefined ? writeCursor(request.userId, completed, last) : null
      if (next !== null) reply.header('link', `<${nextUrl(request.url, next)}>; rel="next"`)
      return success(request, page, { next_cursor: next })
    },
  })
}

function nextUrl(url: string, cursor: string): string {
  const [path, query] = url.split('?', 2)
  const parameters = new URLSearchParams(query)
  parameters.set('cursor', cursor)
  return `${path}?${parameters}`
}
