import { Type } from 'typebox'
import { AppError } from '../../errors.ts'
import { success } from '../../http/envelope.ts'
import { readIfMatch } from '../../http/etag.ts'
import { bodyErrors, errorResponses, successResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { IfMatchHeaders, NoQuery, UserParams } from '../schema.ts'
import { emptyTrash } from '../trash-commands.ts'
import type { TaskRouteDependencies } from './shared.ts'

export function registerEmptyTrash(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'DELETE',
    url: '/api/:user_id/trash',
    schema: {
      operationId: 'emptyTrash',
      tags: ['Trash'],
      summary: 'Remove everything in the trash for good',
      params: UserParams,
      querystring: NoQuery,
      headers: IfMatchHeaders,
      response: {
        200: successResponse({
          description: 'How many tasks were removed.',
          data: Type.Object({ removed: Type.Integer({ minimum: 0 }) }),
          example: { removed: 12 },
        }),
        ...errorResponses(...bodyErrors, 'PRECONDITION_FAILED'),
      },
    },
    async handler(request) {
      if (readIfMatch(request.headers['if-match']) !== null) throw neverMatches()
      return success(request, { removed: await emptyTrash(database.scopeFor(request.userId)) })
    },
  })
}

/** A list has a weak ETag alone, and If-Match compares strongly (RFC 9110 §13.1.1). To ignore it would lose tasks. */
function neverMatches(): AppError {
  const message = 'the trash as a whole has no ETag that If-Match could match: leave it out'
  return new AppError('PRECONDITION_FAILED', {
    details: [{ path: 'headers/if-match', code: 'mismatch', message }],
  })
}
