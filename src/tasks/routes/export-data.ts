import { Readable } from 'node:stream'
import { errorResponses, streamResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { exportData } from '../export.ts'
import { NoQuery, UserParams } from '../schema.ts'
import { exampleLines } from '../transfer-schema.ts'
import type { TransferSlots } from '../transfer-slots.ts'
import { ndjson, type TaskRouteDependencies } from './shared.ts'

export function registerExportData(
  app: App,
  { database, slots }: TaskRouteDependencies & { readonly slots: TransferSlots },
): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/export',
    schema: {
      operationId: 'exportData',
      tags: ['Data'],
      summary: "Export all of the user's tasks",
      description:
        'One task a line, by id, the trash included, as they were at one moment. An import takes it back.',
      params: UserParams,
      querystring: NoQuery,
      response: {
        200: streamResponse({
          type: ndjson,
          description: 'NDJSON: each line is an `ExportedTask`.',
          example: exampleLines,
          headers: {
            'Content-Disposition': 'attachment; filename="tasks.ndjson"',
            'Content-Length': 'The size of the whole: an answer that is cut short shows.',
          },
        }),
        ...errorResponses('OVERLOADED'),
      },
    },
    async handler(request, reply) {
      // Only once there is an export: an error must not be saved as one.
      const headers = { 'content-type': ndjson, 'content-disposition': 'attachment; filename="tasks.ndjson"' }
      // An empty stream rather than nothing, of which Fastify would tell the length.
      if (request.method === 'HEAD') return reply.headers(headers).send(Readable.from([]))
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      const scope = database.scopeFor(request.userId)
      const { bytes, lines } = await exportData(scope, { slots, signal: gone.signal })
      return reply.headers({ ...headers, 'content-length': bytes }).send(lines)
    },
  })
}
