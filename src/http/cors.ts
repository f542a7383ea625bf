import type { FastifyReply, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Pages of the allowed origins may send cookies to the route, and read what it answers then. */
    readonly credentials?: boolean
  }
}

const methods = 'GET, HEAD, POST, PUT, PATCH, DELETE'

const requestHeaders = [
  'Authorization',
  'Content-Type',
  'If-Match',
  'If-None-Match',
  'Idempotency-Key',
  'X-Request-Id',
  'Last-Event-ID',
  'Confirm',
].join(', ')

const exposedHeaders = [
  'ETag',
  'Link',
  'Location',
  'Retry-After',
  'RateLimit',
  'RateLimit-Policy',
  'X-Request-Id',
  'Idempotency-Replayed',
].join(', ')

/** How long a browser may keep the answer to a preflight: two hours, the most that Chromium takes. */
const maxAgeS = '7200'

/** @returns whether the request was a preflight and is answered now */
export type Cors = (request: FastifyRequest, reply: FastifyReply) => boolean

/**
 * Lets pages of these origins call the service (Fetch Standard, "CORS protocol"). A preflight of theirs is answered here,
 * without a token, which browsers do not send with it. Any other origin gets the answer that it would get without CORS, and
 * its browser keeps it from the page; a preflight is then an OPTIONS like any other.
 *
 * Cookies are for the routes that say `credentials`; the others do not look at any.
 *
 * @param origins as browsers send them; none: there is no CORS
 */
export function createCors(origins: readonly string[]): Cors {
  const allowed: ReadonlySet<string | undefined> = new Set(origins)
  if (allowed.size === 0) return () => false
  return (request, reply) => {
    const { origin } = request.headers
    // Answers differ by origin, also for those that have none.
    reply.header('vary', 'Origin')
    if (origin === undefined || !allowed.has(origin)) return false
    reply.header('access-control-allow-origin', origin)
    if (request.routeOptions.config.credentials === true)
      reply.header('access-control-allow-credentials', 'true')
    const isPreflight =
      request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined
    if (!isPreflight) {
      reply.header('access-control-expose-headers', exposedHeaders)
      return false
    }
    reply
      .code(204)
      .header('access-control-allow-methods', methods)
      .header('access-control-allow-headers', requestHeaders)
      .header('access-control-max-age', maxAgeS)
      .send()
    return true
  }
}

/** The headers, names and values in turn, with which a page of an allowed origin may read an answer past Fastify. */
export function corsHeaders(origins: readonly string[]): (origin: string | undefined) => readonly string[] {
  const allowed: ReadonlySet<string> = new Set(origins)
  if (allowed.size === 0) return () => []
  return (origin) => {
    if (origin === undefined || !allowed.has(origin)) return ['vary', 'Origin']
    return [
      ...['vary', 'Origin', 'access-control-allow-origin', origin],
      ...['access-control-expose-headers', exposedHeaders],
    ]
  }
}
