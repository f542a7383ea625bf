import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'

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
}

/**
 * The body as it arrives, no faster than it is taken. Whoever stops half-way leaves the connection whole.
 *
 * @throws Error with the code ECONNRESET, while it is read, when the client goes away
 */
export function readBody({ raw }: { readonly raw: IncomingMessage }): AsyncIterable<Buffer> {
  return { [Symbol.asyncIterator]: () => raw.iterator({ destroyOnReturn: false }) }
}
