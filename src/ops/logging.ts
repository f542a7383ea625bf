import type { FastifyInstance } from 'fastify'
import { type DestinationStream, type Logger, pino } from 'pino'

/**
 * The service's log: JSON lines with RFC 3339 times. Headers and bodies are never handed to it, so no token, secret
 * or task can reach it.
 *
 * @param level least level that is written
 * @param destination where to; standard output when left out
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  return destination === undefined ? pino(options) : pino(options, destination)
}

/** Writes one line a request, once it is answered or its client has gone. */
export function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async (request, reply) => {
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        user_id: request.userId || null,
        status: reply.statusCode,
        ...(request.errorCode !== null && { code: request.errorCode }),
        duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
      },
      'request',
    )
  })
}
