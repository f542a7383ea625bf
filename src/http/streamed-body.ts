import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'

/** Longest time that the rest of a refused body is read for nothing, in milliseconds. */
const maxLingerMs = 10_000

/**
 * Has the routes of a context (an app of its own, made by `register`) take one type of body and no other, and leave it
 * unread: their handlers read it with `readBody`, as it arrives.
 *
 * @param limitBytes a body that says that it is larger is refused at once; the handler counts the others
 */
export function acceptStreamedBody(context: FastifyInstance, mediaType: string, limitBytes: number): void {
  context.removeAllContentTypeParsers()
  context.addContentTypeParser(mediaType, async ({ headers }: FastifyRequest) => {
    if (Number(headers['content-length']) > limitBytes) throw new AppError('BODY_TOO_LARGE')
  })
  context.addHook('onRequest', async ({ headers }) => {
    // Fastify asks for a type only where there is a body.
    if (headers['content-type'] === undefined) throw new AppError('UNSUPPORTED_MEDIA_TYPE')
  })
  // Before other hooks of the route read what it says of itself.
  context.addHook('onRoute', (route) => {
    route.config = { ...route.config, longBody: true }
  })
  context.addHook('onSend', lingerOverBody)
}

/**
 * The body as it arrives, no faster than it is taken. Whoever stops half-way leaves the connection whole.
 *
 * @throws Error with the code ECONNRESET, while it is read, when the client goes away
 */
export function readBody({ raw }: { readonly raw: IncomingMessage }): AsyncIterable<Buffer> {
  return { [Symbol.asyncIterator]: () => raw.iterator({ destroyOnReturn: false }) }
}

/**
 * Lets an answer reach a client that is still sending. The rest of the body is read and dropped for a while, then the
 * connection is closed: what is left in it must not be taken for the next request, and a connection that is closed over
 * unread bytes is reset, and the answer may be lost with it (RFC 9112 §9.6).
 */
async function lingerOverBody(
  { raw }: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): Promise<unknown> {
  if (raw.complete || typeof payload !== 'string') return payload
  reply.header('connection', 'close').header('content-length', Buffer.byteLength(payload))
  return Readable.from(answerThenLinger(payload, raw), { objectMode: false })
}

async function* answerThenLinger(payload: string, raw: IncomingMessage): AsyncGenerator<Buffer> {
  yield Buffer.from(payload)
  await dropRest(raw)
}

/** Reads and drops what is left of a body, until it ends, the client goes away, or the time is over. */
function dropRest(raw: IncomingMessage): Promise<void> {
  if (raw.complete || raw.destroyed) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, maxLingerMs)
  // A client that goes away meanwhile is no failure.
  raw.on('error', () => resolve())
  raw.once('close', resolve)
  raw.once('end', resolve)
  raw.resume()
  return promise.finally(() => clearTimeout(timer))
}
