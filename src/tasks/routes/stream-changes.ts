import { errorResponses, streamResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { readCursor } from '../changes-cursor.ts'
import { exampleChanges, LastEventIdHeaders, StreamQuery } from '../changes-schema.ts'
import { formatEvent } from '../event-stream.ts'
import { UserParams } from '../schema.ts'
import type { TaskRouteDependencies } from './shared.ts'

const description = `Server-sent events (WHATWG HTML, 9.2). The stream begins after \`Last-Event-ID\` or \`since\` and misses
nothing; with neither it begins now. The \`id\` of an event is a cursor: keep the last one, and come again with it.

| event | data | |
| --- | --- | --- |
| \`ready\` | \`{}\` | the first one; its \`id\` is where the stream begins |
| \`change\` | a Change, as in listChanges | may come twice: apply it if its version is greater than the one you have |
| \`reset\` | \`{}\` | the cursor has expired: read the whole state with listChanges; the stream ends |
| \`token_expired\` | \`{}\` | come again with a new token; the stream ends |
| \`reconnect\` | \`{}\` | the service stops: come again; the stream ends |

A comment comes every 15 s. A client that does not read is cut off after 15 s. A user has 100 streams open at most on one
instance; one more is 429 \`RATE_LIMITED\`. Beyond what an instance takes of all users it is 503 \`OVERLOADED\`.`

const exampleCursor = 'Y2FuLW9ubHktYmUtcmVhZC1ieS10aGUtc2VydmljZQ'
const example = [
  formatEvent('ready', {}, exampleCursor),
  ...exampleChanges.map((change) => formatEvent('change', change, exampleCursor)),
].join('')

/** A proxy must not hold events back to send them together. */
const streamHeaders = { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' }

export function registerStreamChanges(app: App, { live }: TaskRouteDependencies): void {
  app.route({
    method: 'GET',
    url: '/api/:user_id/changes/stream',
    config: { openEnded: true },
    schema: {
      operationId: 'streamChanges',
      tags: ['Changes'],
      summary: 'Follow changes as they are made',
      description,
      params: UserParams,
      querystring: StreamQuery,
      headers: LastEventIdHeaders,
      response: {
        200: streamResponse({
          description: 'The stream. HEAD answers with its headers alone.',
          type: 'text/event-stream',
          example,
        }),
        ...errorResponses('INVALID_CURSOR'),
      },
    },
    async handler(request, reply) {
      const { userId, tokenRefusedFromMs } = request
      // A browser that has no id yet sends none; an empty one says the same.
      const cursor = request.headers['last-event-id'] || request.query.since
      const position = cursor === undefined ? undefined : readCursor(userId, cursor)
      const begin = () => {
        reply.hijack()
        // Its token is not kept in memory for as long as the stream is open.
        request.raw.headers = {}
        request.raw.rawHeaders = []
        // What hooks have set for every answer, and its own.
        const headers = Object.entries({ ...reply.getHeaders(), ...streamHeaders })
        return reply.raw.writeHead(
          200,
          headers.flatMap(([name, value]) => (value === undefined ? [] : [name, value])),
        )
      }
      if (request.method === 'HEAD') begin().end()
      else await live.open({ userId, position, tokenRefusedFromMs, begin })
      return reply
    },
  })
}
