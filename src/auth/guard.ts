import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import { originForm } from '../lib/request-target.ts'
import { readBearerToken } from './bearer.ts'
import type { VerifiedToken, Verifier } from './verifier.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The user of the verified token; empty outside /api. */
    userId: string
    /** From when on the token is refused, in milliseconds since the epoch; 0 outside /api. */
    tokenRefusedFromMs: number
  }
  interface FastifyContextConfig {
    /** The route is for callers without a token. */
    readonly public?: boolean
  }
}

const realm = 'Bearer realm="backend-core"'
const invalidToken = { 'www-authenticate': `${realm}, error="invalid_token"` }

/**
 * The first wall: everything under /api needs a valid token, and a path's user must be the token's. It holds for
 * paths that match no route, and for every route that does not say of itself that it is public, before the database
 * is touched.
 *
 * @returns a guard that throws AppError TOKEN_MISSING, TOKEN_EXPIRED, TOKEN_INVALID, KEYS_UNAVAILABLE or FORBIDDEN
 */
export function createGuard(verifier: Verifier) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (!isUnderApi(request) || request.routeOptions.config.public === true) return
    reply.header('cache-control', 'private, no-cache')
    const { userId, expiresAtS } = await authenticate(request, verifier)
    request.userId = userId
    // As for a request: a clock that is ahead of the issuer's ends nothing early.
    request.tokenRefusedFromMs = (expiresAtS + verifier.clockToleranceS) * 1000
    const pathUser = readPathUser(request)
    if (pathUser !== undefined && pathUser !== 'me' && pathUser !== request.userId)
      throw new AppError('FORBIDDEN')
  }
}

async function authenticate(request: FastifyRequest, verifier: Verifier): Promise<VerifiedToken> {
  const token = readBearerToken(request.headers.authorization)
  if (token === undefined) throw new AppError('TOKEN_MISSING', { headers: { 'www-authenticate': realm } })
  const verified = verifier.verify(token)
  const verification = verified instanceof Promise ? await verified : verified
  if (verification.ok) return verification
  const { code, reason } = verification
  if (code === 'KEYS_UNAVAILABLE') {
    throw new AppError(code, { headers: { 'retry-after': String(verification.retryAfterS) } })
  }
  request.log.info({ reason }, 'token refused')
  throw new AppError(code, { headers: invalidToken })
}

/**
 * A route is judged by the pattern that the router matched, never by how the path was spelled: `/%61pi/…` matches the
 * same route as `/api/…`.
 */
function isUnderApi(request: FastifyRequest): boolean {
  const [, first = ''] = (request.routeOptions.url ?? originForm(request.originalUrl)).split(/[/?]/, 2)
  return decodeSegment(first) === 'api'
}

/** The user in `/api/X/…`; `/api/X` alone has none. */
function readPathUser(request: FastifyRequest): string | undefined {
  const { params } = request
  if (typeof params === 'object' && params !== null && 'user_id' in params) return String(params.user_id)
  const [, , user, rest] = originForm(request.originalUrl).split('?', 1)[0]?.split('/') ?? []
  return rest === undefined || user === undefined ? undefined : decodeSegment(user)
}

/** The decoded text, or the text as it is where it cannot be decoded: that equals no user. */
function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
