import { Type } from 'typebox'
import { success } from '../../http/envelope.ts'
import { formatEtag, matchesIfNoneMatch } from '../../http/etag.ts'
import { errorResponses, successResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { readChanges } from '../changes.ts'
import { readCursor, writeCursor } from '../changes-cursor.ts'
import { ChangesQuery, exampleChanges } from '../changes-schema.ts'
import { IfNoneMatchHeaders, UserParams } from '../schema.ts'
import type { TaskRouteDependencies } from './shared.ts'

const defaultLimit = 100

const description = `Without \`since\`, the whole present state, page by page; then each task that was changed after the
cursor, once, in its present state, in the order of its last change. Apply the pages in order: at \`has_more\` false you
hold what the server holds. Keep \`meta.next_cursor\`, and ask with it again later.`

export function registerListChanges(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/changes',
    schema: {
      operationId: 'listChanges',
      tags: ['Changes'],
      summary: 'List what has changed since a cursor',
      description,
      params: UserParams,
      querystring: ChangesQuery,
      headers: IfNoneMatchHeaders,
      response: {
        200: successResponse({
          description: 'A page of changes.',
          data: Type.Array(Type.Ref('Change#')),
          example: exampleChanges,
          meta: {
            next_cursor: Type.String({ description: 'What to send as `since` next, now or later.' }),
            has_more: Type.Boolean({ description: 'Whether another page can be had at once.' }),
          },
          exampleMeta: { next_cursor: 'Y2FuLW9ubHktYmUtcmVhZC1ieS10aGUtc2VydmljZQ', has_more: false },
          headers: { ETag: "Weak; it changes whenever anything in the user's data does." },
        }),
        304: { description: 'If-None-Match names the present ETag: nothing has changed.', type: 'null' },
        ...errorResponses('INVALID_CURSOR', 'CURSOR_EXPIRED'),
      },
    },
    async handler(request, reply) {
      const { since, limit = defaultLimit } = request.query
      const { userId } = request
      const position = since === undefined ? undefined : readCursor(userId, since)
      const page = await readChanges(database.scopeFor(userId), position, limit)
      const etag = formatEtag(page.counter)
      reply.header('etag', `W/${etag}`)
      if (matchesIfNoneMatch(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return success(
        request,
        page.changes.map(({ change }) => change),
        { next_cursor: writeCursor(userId, page.next), has_more: page.hasMore },
      )
    },
  })
}
