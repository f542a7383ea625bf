import { createHmac } from 'node:crypto'
import { describeBadUserId } from '../auth/claims.ts'

const defaultExpiresInS = 8 * 60 * 60

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

/**
 * Signs an access token as a front end with the shared secret would: a JWT (RFC 7519) with `sub`, `iat` and
 * `exp`, HS256 (RFC 7518 §3.2), the key being the secret's UTF-8 bytes. For the command line, the demo data and
 * tests: the service itself verifies tokens and never issues them.
 * @param options.expiresInS seconds until the token expires, 8 hours by default; below 0 it has expired
 * @param options.nowMs the time, in milliseconds since the epoch; now by default
 * @throws RangeError for a user id that the service would refuse
 */
export function signToken(options: {
  readonly secret: string
  readonly userId: string
  readonly expiresInS?: number
  readonly nowMs?: number
}): string {
  const { secret, userId, expiresInS = defaultExpiresInS, nowMs = Date.now() } = options
  const bad = describeBadUserId(userId)
  if (bad !== undefined) throw new RangeError(`the user id ${bad}`)
  const iat = Math.floor(nowMs / 1000)
  const signingInput = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: userId, iat, exp: iat + expiresInS })}`
  return `${signingInput}.${createHmac('sha256', secret).update(signingInput).digest('base64url')}`
}
