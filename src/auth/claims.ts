import type { JsonObject } from '../lib/strict-json.ts'
import type { TokenPolicy } from './policy.ts'

/** The policy of the key's source, and what the claims are compared with. */
export type ClaimsRules = {
  readonly policy: TokenPolicy
  /** Compared exactly, character by character (RFC 7519 §4.1.1); undefined: not compared. */
  readonly issuer?: string
  /** The claim is this, or an array that has it (RFC 7519 §4.1.3); undefined: not compared. */
  readonly audience?: string
}

export type ClaimsCheck =
  | { readonly ok: true; readonly userId: string; readonly expiresAtS: number }
  | { readonly ok: false; readonly code: 'TOKEN_INVALID' | 'TOKEN_EXPIRED'; readonly reason: string }

const maxUserIdCharacters = 255

/** The last second that a JavaScript Date can hold (ECMAScript, Time Values), in the year 275760. */
const lastDateS = 8.64e12

/**
 * Says what keeps a string from being a user id: empty, longer than 255 characters (code points, as PostgreSQL
 * counts), a NUL (PostgreSQL has none in text), a lone surrogate (which UTF-8 does not have). Nothing is
 * trimmed or normalized: two ids are the same user only if they are the same string.
 * @returns undefined when it is one
 */
export function describeBadUserId(userId: string): string | undefined {
  if (userId === '') return 'is empty'
  if (userId.includes('\0')) return 'has a NUL'
  if (!userId.isWellFormed()) return 'has a lone surrogate'
  if (userId.length > maxUserIdCharacters && [...userId].length > maxUserIdCharacters) {
    return `is longer than ${maxUserIdCharacters} characters`
  }
  return undefined
}

function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= lastDateS
}

function isStringOrStrings(value: unknown): boolean {
  return (
    typeof value === 'string' || (Array.isArray(value) && value.every((item) => typeof item === 'string'))
  )
}

/** Registered claims have the type that RFC 7519 §4.1 gives them, whether this service uses them or not. */
function findWrongType(payload: JsonObject): string | undefined {
  for (const name of ['exp', 'nbf', 'iat']) {
    if (payload[name] !== undefined && !isNumericDate(payload[name]))
      return `"${name}" is not a time in seconds`
  }
  for (const name of ['iss', 'jti']) {
    if (payload[name] !== undefined && typeof payload[name] !== 'string') return `"${name}" is not a string`
  }
  if (payload.aud !== undefined && !isStringOrStrings(payload.aud))
    return '"aud" is neither a string nor strings'
  return undefined
}

function findProblem(payload: JsonObject, { policy, issuer, audience }: ClaimsRules): string | undefined {
  for (const name of policy.requiredClaims) {
    if (payload[name] === undefined) return `"${name}" is missing`
  }
  const wrongType = findWrongType(payload)
  if (wrongType !== undefined) return wrongType
  if (issuer !== undefined && payload.iss !== issuer) return '"iss" is not the configured issuer'
  const audiences: readonly unknown[] = Array.isArray(payload.aud) ? payload.aud : [payload.aud]
  if (policy.refusedAudiences.some((refused) => audiences.includes(refused))) {
    return '"aud" is that of a token for another purpose'
  }
  if (audience !== undefined && !audiences.includes(audience)) return '"aud" is not the configured audience'
  return undefined
}

function readUserId(payload: JsonObject, policy: TokenPolicy): { userId: string } | { reason: string } {
  const [first] = policy.userIdClaims.filter((name) => payload[name] !== undefined)
  const userId = first === undefined ? undefined : payload[first]
  if (userId === undefined) return { reason: 'no claim names the user' }
  if (typeof userId !== 'string') return { reason: `"${first}" is not a string` }
  const bad = describeBadUserId(userId)
  if (bad !== undefined) return { reason: `"${first}" ${bad}` }
  for (const name of [...policy.userIdClaims, ...policy.agreeingClaims]) {
    if (payload[name] !== undefined && payload[name] !== userId) {
      return { reason: `"${name}" differs from "${first}"` }
    }
  }
  return { userId }
}

/**
 * Decides on the claims of a token whose signature is good (RFC 7519 §4.1, RFC 8725 §3.8 and §3.10).
 * @param nowS the time, in seconds since the epoch
 * @param toleranceS how far the signer's clock may be from this one, in seconds
 * @returns the user and the time of expiry in seconds since the epoch, or why the token is refused, in words
 * that quote nothing of it; TOKEN_EXPIRED only if nothing else is wrong
 */
export function checkClaims(
  payload: JsonObject,
  rules: ClaimsRules,
  nowS: number,
  toleranceS: number,
): ClaimsCheck {
  const invalid = (reason: string): ClaimsCheck => ({
    ok: false,
    code: 'TOKEN_INVALID',
    reason: `claims: ${reason}`,
  })
  const { exp, nbf, iat } = payload
  const problem = findProblem(payload, rules)
  if (problem !== undefined) return invalid(problem)
  if (!isNumericDate(exp)) return invalid('"exp" is missing')
  if (isNumericDate(nbf) && nbf > nowS + toleranceS) return invalid('"nbf" is in the future')
  if (isNumericDate(iat) && iat > nowS + toleranceS) return invalid('"iat" is in the future')
  const user = readUserId(payload, rules.policy)
  if ('reason' in user) return invalid(user.reason)
  if (nowS >= exp + toleranceS) {
    return { ok: false, code: 'TOKEN_EXPIRED', reason: 'claims: "exp" has passed' }
  }
  return { ok: true, userId: user.userId, expiresAtS: exp }
}
