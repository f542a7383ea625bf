import { Type } from 'typebox'
import { AppError } from '../errors.ts'
import { success } from '../http/envelope.ts'
import { plainErrorResponses, successResponse } from '../http/responses.ts'
import type { App } from '../http/server.ts'

export type HealthDependencies = {
  /** What keeps the service from serving, in words; empty when nothing does. */
  readonly missing: () => Promise<readonly string[]>
}

/** GET /health answers while the process lives; GET /ready while it can serve. Neither needs a token. */
export function registerHealth(app: App, { missing }: HealthDependencies): void {
  app.route({
    method: 'GET',
    url: '/health',
    schema: {
      operationId: 'getHealth',
      tags: ['Service'],
      summary: 'Whether the process lives',
      security: [],
      response: {
        200: successResponse({ description: 'It does.', data: Type.Object({}), example: {} }),
        ...plainErrorResponses(),
      },
    },
    handler: async (request) => success(request, {}),
  })
  app.route({
    method: 'GET',
    url: '/ready',
    schema: {
      operationId: 'getReadiness',
      tags: ['Service'],
      summary: 'Whether the service can serve: the database answers and its migrations are in',
      security: [],
      response: {
        200: successResponse({ description: 'It can.', data: Type.Object({}), example: {} }),
        ...plainErrorResponses('NOT_READY'),
      },
    },
    async handler(request) {
      const details = (await missing()).map((message) => ({ path: '', code: 'missing', message }))
      if (details.length > 0) throw new AppError('NOT_READY', { details, headers: { 'retry-after': '1' } })
      return success(request, {})
    },
  })
}
