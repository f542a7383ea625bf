import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'

// A connection that is closed over unread bytes is reset, and the answer may be lost with it. So the rest of what a client
// sends is read and dropped for a while first (RFC 9112 §9.6).

/** What is read for nothing of a client that sends on after its request was refused. */
type Linger = { readonly maxMs: number; readonly maxBytes: number }

const shortLinger: Linger = { maxMs: 2_000, maxBytes: 4_194_304 }

/** For bodies of which the route says that they are long. */
const longLinger: Linger = { maxMs: 10_000, maxBytes: 134_217_728 }

/**
 * Lets an answer that ends its connection reach a client that is still sending. On routes with long bodies every answer
 * to an unread body ends the connection; on others the rest of a body is read for a time, and the connection serves on.
 */
export function lingerOverBodies(app: FastifyInstance): void {
  app.addHook('onSend', async (request, reply, payload: unknown) => {
    const { raw } = request
    if (raw.complete || typeof payload !== 'string' || raw.method === 'HEAD') return payload
    const isLong = request.routeOptions.config.longBody === true
    const isLast = reply.getHeader('connection') === 'close' || !reply.raw.shouldKeepAlive
    if (!isLong && !isLast) return payload
    reply.header('connection', 'close').header('content-length', Buffer.byteLength(payload))
    return Readable.from(answerThenLinger(payload, raw, isLong ? longLinger : shortLinger), {
      objectMode: false,
    })
  })
}

async function* answerThenLinger(
  payload: string,
  raw: IncomingMessage,
  linger: Linger,
): AsyncGenerator<Buffer> {
  yield Buffer.from(payload)
  await dropRest(raw, linger)
}

/** Reads and drops what is left of a body, until it ends, the client goes away, or it is enough. Never fails. */
export function dropRest(raw: IncomingMessage, { maxMs, maxBytes } = shortLinger): Promise<void> {
  if (raw.complete || raw.destroyed) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, maxMs)
  let leftBytes = maxBytes
  const drop = ({ length }: Buffer) => {
    leftBytes -= length
    if (leftBytes < 0) resolve()
  }
  raw.on('data', drop)
  // A client that goes away meanwhile is no failure.
  raw.on('error', () => resolve())
  raw.once('close', resolve)
  raw.once('end', resolve)
  raw.resume()
  return promise.finally(() => {
    clearTimeout(timer)
    raw.off('data', drop).pause()
  })
}

/**
 * Closes a connection whose last answer has been written, once the client has seen it or a while is over.
 *
 * @returns to be called when more has come of what is not taken any more
 */
export function closeLingering(socket: Socket): () => void {
  const bytesBefore = socket.bytesRead
  const timer = setTimeout(() => socket.destroy(), shortLinger.maxMs)
  socket.once('close', () => clearTimeout(timer))
  socket.resume()
  return () => {
    if (socket.bytesRead - bytesBefore > shortLinger.maxBytes) socket.destroy()
  }
}
