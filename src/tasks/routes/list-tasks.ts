import { answerList, readKnownCounters } from '../../http/list.ts'
import { errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { readCursor, writeCursor } from '../list-cursor.ts'
import { readList } from '../list-parameters.ts'
import { defaultLimit, ListHeaders, ListQuery } from '../list-schema.ts'
import { listTasks } from '../list-store.ts'
import { UserParams } from '../schema.ts'
import { listResponses, type TaskRouteDependencies } from './shared.ts'

export function registerListTasks(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/tasks',
    schema: {
      operationId: 'listTasks',
      tags: ['Tasks'],
      summary: "List the user's tasks, newest first or as sort says",
      description: `Pages are walked by cursor. A task that is there throughout with the same sort value is shown once, whatever is
written meanwhile. The list is as it was at its ETag; meta.total may already count what was written after it.`,
      params: UserParams,
      querystring: ListQuery,
      headers: ListHeaders,
      response: { ...listResponses('A page of tasks.'), ...errorResponses('INVALID_CURSOR') },
    },
    async handler(request, reply) {
      const { userId, query } = request
      const { limit = defaultLimit, count = false } = query
      const list = readList(query)
      const known = readKnownCounters(request.headers['if-none-match'], userId)
      const after = readCursor(userId, list, query.cursor)
      // One task more than asked for tells whether a page follows.
      const page = { after, limit: limit + 1, known, count }
      const { counter, tasks: found, total } = await listTasks(database.scopeFor(userId), list, page)
      const cursorAfter = (last: (typeof found)[number]) => writeCursor(userId, list, last)
      return answerList(request, reply, { userId, counter, known, found, limit, total, cursorAfter })
    },
  })
}
