import type { Server } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body is long: a client gets time by what it has sent. */
    readonly longBody?: boolean
  }
}

/** The least rate at which a long body must come and an answer must be taken, in bytes a second. */
const minRate = 16_384

/** Longest time that the slowest client is given, in milliseconds: 64 MiB take it at 0.6 Mbit/s. */
export const maxAllowedMs = 900_000

/**
 * How long a client may take.
 *
 * @param baseMs for next to nothing, in milliseconds
 * @param bytes how much it has taken, or sent
 * @returns milliseconds
 */
export function allowedMs(baseMs: number, bytes: number): number {
  return Math.min(Math.max(baseMs, maxAllowedMs), baseMs + (bytes / minRate) * 1000)
}

/**
 * Bounds the time in which a body must arrive; Node has one bound for all routes, which would cut a long import or let
 * short bodies drip. A body that is there with its headers, as nearly all are, costs nothing.
 *
 * @param timeoutMs for a body, in milliseconds; where the route says that bodies are long, for each to begin with
 * @param onTimeout is to answer a request that has no answer yet, and close its connection
 */
export function boundBodyTime(
  app: FastifyInstance,
  timeoutMs: number,
  onTimeout: (request: FastifyRequest) => void,
): void {
  const watched = new WeakSet<object>()
  const watch = (request: FastifyRequest, reply: FastifyReply) => {
    const { raw } = request
    if (raw.complete || watched.has(raw)) return
    watched.add(raw)
    const startMs = performance.now()
    const bytesBefore = raw.socket.bytesRead
    const isLong = request.routeOptions.config.longBody === true
    const check = () => {
      if (raw.complete || raw.socket.destroyed) return
      const allowed = isLong ? allowedMs(timeoutMs, raw.socket.bytesRead - bytesBefore) : timeoutMs
      const leftMs = allowed - (performance.now() - startMs)
      if (leftMs > 0) timer = setTimeout(check, Math.ceil(leftMs))
      // Its answer has gone out; what still comes belongs to nothing.
      else if (reply.raw.writableEnded) raw.socket.destroy()
      else onTimeout(request)
    }
    let timer = setTimeout(check, timeoutMs)
    reply.raw.once('close', () => {
      if (raw.complete || raw.socket.destroyed) clearTimeout(timer)
    })
  }
  app.addHook('preParsing', (request, reply, payload, done) => {
    watch(request, reply)
    done(null, payload)
  })
  // A request may be refused before its body is looked at, and the rest of it still comes.
  app.addHook('onSend', (request, reply, _payload, done) => {
    watch(request, reply)
    done()
  })
}

/** Does something again and again, until the server is closed. */
export function whileOpen(server: Server, intervalMs: number, work: () => void): void {
  const timer = setInterval(work, intervalMs).unref()
  server.once('close', () => clearInterval(timer))
}
