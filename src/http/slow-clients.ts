import type { IncomingMessage, Server } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body is long: a client gets time by what it has sent. */
    readonly longBody?: boolean
  }
}

/** What slow clients are given. */
export type Patience = {
  /** Time for next to nothing, in milliseconds. */
  readonly baseMs: number
  /** The rate at which the rest must come, or be taken, in bytes a second. */
  readonly minBytesPerS: number
}

/** Longest time that a client is given, in milliseconds. */
export const maxAllowedMs = 1_800_000

/** How long a client may take that has sent, or taken, so many bytes, in milliseconds. */
export function allowedMs({ baseMs, minBytesPerS }: Patience, bytes: number): number {
  return Math.min(maxAllowedMs, baseMs + (bytes / minBytesPerS) * 1_000)
}

/**
 * Bounds the time in which a body must arrive; Node has one bound for all routes, which would cut a long import or let
 * short bodies drip. A body that is there with its headers, as nearly all are, costs nothing.
 *
 * @param patience with a body: the base alone, unless the route says that bodies are long
 * @param onTimeout is to answer a request whose body is waited for, and close its connection
 */
export function boundBodyTime(
  app: FastifyInstance,
  patience: Patience,
  onTimeout: (request: FastifyRequest) => void,
): void {
  app.addHook('preParsing', (request, reply, payload, done) => {
    const { raw } = request
    if (!raw.complete) {
      const isLong = request.routeOptions.config.longBody === true
      const minBytesPerS = isLong ? patience.minBytesPerS : Number.POSITIVE_INFINITY
      const clear = watchBody(raw, { ...patience, minBytesPerS }, () => onTimeout(request))
      reply.raw.once('close', clear)
    }
    done(null, payload)
  })
}

/** Bounds the time in which the rest of a body must arrive whose request has its answer: it belongs to nothing. */
export function boundRestOfBody(request: IncomingMessage, timeoutMs: number): void {
  const { socket } = request
  if (request.complete || socket.destroyed) return
  const patience = { baseMs: timeoutMs, minBytesPerS: Number.POSITIVE_INFINITY }
  const clear = watchBody(request, patience, () => socket.destroy())
  // The request itself may have been closed before its answer.
  socket.once('close', clear)
  request.once('end', () => {
    clear()
    socket.off('close', clear)
  })
}

/** @returns ends the watch */
function watchBody(body: IncomingMessage, patience: Patience, onTimeout: () => void): () => void {
  const startMs = performance.now()
  const bytesBefore = body.socket.bytesRead
  const check = () => {
    if (body.complete || body.socket.destroyed) return
    const allowed = allowedMs(patience, body.socket.bytesRead - bytesBefore)
    const leftMs = allowed - (performance.now() - startMs)
    if (leftMs > 0) timer = setTimeout(check, Math.ceil(leftMs))
    else onTimeout()
  }
  let timer = setTimeout(check, patience.baseMs)
  return () => clearTimeout(timer)
}

/** Does something again and again, until the server is closed. */
export function whileOpen(server: Server, intervalMs: number, work: () => void): void {
  const timer = setInterval(work, intervalMs).unref()
  server.once('close', () => clearInterval(timer))
}
