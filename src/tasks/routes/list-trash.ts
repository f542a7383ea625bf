import { Type } from 'typebox'
import { answerList, readKnownCounters } from '../../http/list.ts'
import { errorResponses } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { defaultLimit, ListHeaders } from '../list-schema.ts'
import { UserParams } from '../schema.ts'
import { readTrashCursor, writeTrashCursor } from '../trash-cursor.ts'
import { listTrash } from '../trash-list-store.ts'
import { exampleTrashedTask, TrashQuery } from '../trash-schema.ts'
import { listResponses, type TaskRouteDependencies } from './shared.ts'

export function registerListTrash(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/trash',
    schema: {
      operationId: 'listTrash',
      tags: ['Trash'],
      summary: 'List the tasks in the trash, what was deleted last first',
      description: 'A task that is there throughout is shown once, whatever is written meanwhile.',
      params: UserParams,
      querystring: TrashQuery,
      headers: ListHeaders,
      response: {
        ...listResponses('A page of the trash.', Type.Ref('TrashedTask#'), exampleTrashedTask),
        ...errorResponses('INVALID_CURSOR'),
      },
    },
    async handler(request, reply) {
      const { userId, query } = request
      const { limit = defaultLimit, count = false } = query
      const known = readKnownCounters(request.headers['if-none-match'], userId)
      const after = readTrashCursor(userId, query.cursor)
      // One task more than asked for tells whether a page follows.
      const page = { after, limit: limit + 1, known, count }
      const { counter, tasks: found, total } = await listTrash(database.scopeFor(userId), page)
      const cursorAfter = (last: (typeof found)[number]) => writeTrashCursor(userId, last)
      return answerList(request, reply, { userId, counter, known, found, limit, total, cursorAfter })
    },
  })
}
