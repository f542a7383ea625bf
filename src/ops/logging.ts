import type { FastifyReply, FastifyRequest } from 'fastify'
import { type DestinationStream, type Logger, pino } from 'pino'

export type { Logger } from 'pino'

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

/**
 * Writes one line for a request, once its answer is sent or its client has gone; `aborted` tells the latter. It listens
 * to the response itself: Fastify's onResponse does not hear of every client that leaves.
 *
 * @param onEnd called then too
 */
export function logRequest(request: FastifyRequest, reply: FastifyReply, onEnd?: () => void): void {
  reply.raw.once('close', () => {
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        user_id: request.userId || null,
        client_address: request.clientAddress,
        status: reply.raw.statusCode,
        ...(request.errorCode !== null && { code: request.errorCode }),
        ...(!reply.raw.writableFinished && { aborted: true }),
        duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
      },
      'request',
    )
    onEnd?.()
  })
}
