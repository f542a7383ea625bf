import { isUtf8 } from 'node:buffer'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import { toCatalogued } from '../http/error-handler.ts'
import type { App } from '../http/server.ts'
import { clientAddressHeader } from './better-auth.ts'
import type { AccountLimits } from './limits.ts'
import { describeError, logTo } from './logging.ts'

export const basePath = '/api/auth'

/** Largest request body, in bytes. */
const bodyLimitBytes = 64 * 1024

/** Every route of accounts, below the base path: the rest of what Better Auth has needs e-mail or another provider. */
export const accountRoutes: Readonly<Record<string, 'GET' | 'POST'>> = {
  '/sign-up/email': 'POST',
  '/sign-in/email': 'POST',
  '/sign-out': 'POST',
  '/get-session': 'GET',
  '/token': 'GET',
  '/jwks': 'GET',
  '/update-user': 'POST',
  '/change-password': 'POST',
  '/list-sessions': 'GET',
  '/revoke-session': 'POST',
  '/revoke-sessions': 'POST',
  '/revoke-other-sessions': 'POST',
  '/delete-user': 'POST',
}

/** What Better Auth gets to see of a request's headers. Nothing in them says where the request comes from. */
const passedHeaders = [
  'authorization',
  'content-type',
  'cookie',
  'origin',
  'referer',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
] as const

const maxUserAgentLength = 512

export type AccountRouteDependencies = {
  /** Better Auth. */
  readonly handle: (request: Request) => Promise<Response>
  /** The origin of the address that Better Auth is told requests were sent to. */
  readonly origin: string
  readonly limits: AccountLimits
}

/**
 * Mounts Better Auth in a scope of its own: without the service's body parser, and with errors in Better Auth's form,
 * `{code, message}`, which its client library reads.
 */
export async function registerAccountRoutes(
  app: App,
  { handle, origin, limits }: AccountRouteDependencies,
): Promise<void> {
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(
      'application/json',
      { parseAs: 'buffer', bodyLimit: bodyLimitBytes },
      async (_request: FastifyRequest, body: Buffer) => {
        if (!isUtf8(body)) throw new AppError('INVALID_JSON')
        return body
      },
    )
    scope.setErrorHandler(answerError)
    const schema = { hide: true }
    // Cookies of its own: a page of an allowed origin may send them.
    const configOf = (path: string) => ({ public: true, credentials: true, limiter: limits(path) })
    for (const [path, method] of Object.entries(accountRoutes)) {
      // The path that was matched, not as it was spelled.
      const url = `${origin}${basePath}${path}`
      scope.route({
        schema,
        config: configOf(path),
        method,
        url: `${basePath}${path}`,
        async handler(request, reply) {
          const response = await logTo(request.log, () => handle(toWebRequest(request, method, url, origin)))
          return send(response, reply, path === '/jwks' ? 'public, max-age=300' : 'no-store')
        },
      })
    }
    scope.route({
      schema,
      config: configOf('/*'),
      method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      url: `${basePath}/*`,
      onRequest: async (request, reply) => refuse(request, reply),
      handler: async () => {
        throw new AppError('ROUTE_NOT_FOUND')
      },
    })
  })
}

function toWebRequest(request: FastifyRequest, method: string, url: string, origin: string): Request {
  const headers = new Headers()
  for (const name of passedHeaders) {
    const value = request.headers[name]
    if (typeof value === 'string') headers.set(name, value)
  }
  headers.set(clientAddressHeader, request.clientAddress)
  const userAgent = request.headers['user-agent']
  if (userAgent !== undefined) headers.set('user-agent', userAgent.slice(0, maxUserAgentLength))
  if (!isFromBrowser(headers)) headers.set('origin', origin)
  const { body } = request
  const [query = ''] = /\?.*/s.exec(request.raw.url ?? '') ?? []
  return new Request(`${url}${query}`, {
    method,
    headers,
    ...(method === 'POST' && body instanceof Uint8Array && { body: new Uint8Array(body) }),
  })
}

/**
 * Whether a request may have been made by a web page on behalf of somebody who does not know. A browser says where
 * such a request comes from: every POST has an Origin (Fetch Standard, "append a request Origin header"), `null` where
 * the page keeps it secret. Without any of the three, Better Auth would refuse curl with a cookie, and servers.
 */
function isFromBrowser(headers: Headers): boolean {
  return headers.has('origin') || headers.has('referer') || headers.has('sec-fetch-site')
}

async function send(response: Response, reply: FastifyReply, cacheControl: string): Promise<FastifyReply> {
  for (const [name, value] of response.headers) {
    if (name !== 'set-cookie') reply.header(name, value)
  }
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) reply.header('set-cookie', cookies)
  if (!response.headers.has('cache-control')) reply.header('cache-control', cacheControl)
  return reply.code(response.status).send(Buffer.from(await response.arrayBuffer()))
}

/** Answers what no route of accounts has: it needs no token to be told so. */
function refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { params } = request
  const path = typeof params === 'object' && params !== null && '*' in params ? `/${params['*']}` : ''
  const method = Object.hasOwn(accountRoutes, path) ? accountRoutes[path] : undefined
  // A path that only looks like a route once it is decoded comes here with the route's own method.
  if (method === undefined || method === request.method) throw new AppError('ROUTE_NOT_FOUND')
  const allow = method === 'GET' ? 'GET, HEAD, OPTIONS' : `${method}, OPTIONS`
  if (request.method !== 'OPTIONS') throw new AppError('METHOD_NOT_ALLOWED', { headers: { allow } })
  return reply.code(204).header('allow', allow).send()
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toCatalogued(error)
  request.errorCode = known.code
  if (known.status >= 500) {
    const cause = known.cause instanceof Error ? known.cause : known
    request.log.error({ err: describeError(cause), code: known.code }, 'request failed')
  }
  return reply
    .code(known.status)
    .headers(known.headers)
    .header('cache-control', 'no-store')
    .type('application/json; charset=utf-8')
    .send({ code: known.code, message: known.message })
}
