import { Type } from 'typebox'
import { success } from '../../http/envelope.ts'
import { bodyErrors, errorResponses, successResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { eraseData } from '../erase.ts'
import { NoQuery, UserParams } from '../schema.ts'
import { EraseHeaders } from '../transfer-schema.ts'
import type { TaskRouteDependencies } from './shared.ts'

export function registerEraseData(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'DELETE',
    url: '/api/:user_id/data',
    schema: {
      operationId: 'eraseData',
      tags: ['Data'],
      summary: "Erase all of the user's data for good",
      description:
        'Tasks, the trash, and what is remembered of deletions and idempotency keys. Every cursor is expired after it.',
      params: UserParams,
      querystring: NoQuery,
      headers: EraseHeaders,
      response: {
        200: successResponse({
          description: 'How many tasks there were, those in the trash too.',
          data: Type.Object({ removed: Type.Integer({ minimum: 0 }) }),
          example: { removed: 42 },
        }),
        ...errorResponses(...bodyErrors),
      },
    },
    async handler(request) {
      const removed = await eraseData(database.scopeFor(request.userId))
      return success(request, { removed })
    },
  })
}
