import { Type } from 'typebox'
import { success } from '../../http/envelope.ts'
import { formatEtag, matchesIfNoneMatch } from '../../http/etag.ts'
import { errorResponses, successResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { IfNoneMatchHeaders, UserParams } from '../schema.ts'
import { readTrash, readTrashVersion } from '../trash-commands.ts'
import { readTrashCursor } from '../trash-cursor.ts'
import { exampleTrashedTask, TrashQuery } from '../trash-schema.ts'
import type { TaskRouteDependencies } from './shared.ts'

const defaultLimit = 100

export function registerListTrash(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/trash',
    schema: {
      operationId: 'listTrash',
      tags: ['Trash'],
      summary: 'List the tasks in the trash, what was deleted last first',
      params: UserParams,
      querystring: TrashQuery,
      headers: IfNoneMatchHeaders,
      response: {
        200: successResponse({
          description: 'A page of the trash.',
          data: Type.Array(Type.Ref('TrashedTask#')),
          example: [exampleTrashedTask],
          meta: {
            next_cursor: Type.Union([Type.String(), Type.Null()], { description: 'null on the last page.' }),
            total: Type.Optional(
              Type.Integer({ minimum: 0, description: 'All tasks in the trash, with count=true.' }),
            ),
          },
          exampleMeta: { next_cursor: null },
          headers: {
            ETag: "Weak; another whenever anything in the user's data has changed.",
            Link: 'The next page, with rel="next", where there is one (RFC 8288).',
          },
        }),
        304: { description: 'If-None-Match names the present ETag.', type: 'null' },
        ...errorResponses('INVALID_CURSOR'),
      },
    },
    async handler(request, reply) {
      const { limit = defaultLimit, cursor, count = false } = request.query
      const after = readTrashCursor(request.userId, cursor)
      const scope = database.scopeFor(request.userId)
      const known = request.headers['if-none-match']
      if (known !== undefined) {
        const etag = formatEtag(await readTrashVersion(scope))
        if (matchesIfNoneMatch(known, etag)) return reply.code(304).header('etag', `W/${etag}`).send()
      }
      const { version, tasks, next, total } = await readTrash(scope, { after, limit, count })
      reply.header('etag', `W/${formatEtag(version)}`)
      if (next !== null) reply.header('link', `<${nextUrl(request.url, next)}>; rel="next"`)
      return success(request, tasks, { next_cursor: next, ...(total !== undefined && { total }) })
    },
  })
}

function nextUrl(url: string, cursor: string): string {
  const [path, query] = url.split('?', 2)
  const parameters = new URLSearchParams(query)
  parameters.set('cursor', cursor)
  return `${path}?${parameters}`
}
