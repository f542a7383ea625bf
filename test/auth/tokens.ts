import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import type { Verification } from '../../src/auth/verifier.ts'
import { createVerifier } from '../../src/auth/verifier.ts'

export const secret = 'hXn0mP3sYk7qVw2dRb9tLc5eFg8jZa4u'
export const nowS = 1_800_000_000
export const nowMs = nowS * 1000

/** Bytes as they are, text as it is, anything else as JSON. */
export type Part = Uint8Array | string | object

export function encodePart(part: Part): string {
  if (part instanceof Uint8Array || typeof part === 'string') return Buffer.from(part).toString('base64url')
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

export const goodHeader = { alg: 'HS256', typ: 'JWT' }
export const goodClaims = { sub: 'user-1', iat: nowS, exp: nowS + 900 }

/** Signs two parts that are encoded already, be they well formed or not. */
export function signEncoded(
  signingInput: string,
  key: string | Uint8Array = secret,
  hash = 'sha256',
): string {
  return `${signingInput}.${createHmac(hash, key).update(signingInput).digest('base64url')}`
}

/** A token with the given header and claims and a good signature. */
export function sign(header: Part, claims: Part, key: string | Uint8Array = secret, hash = 'sha256'): string {
  return signEncoded(`${encodePart(header)}.${encodePart(claims)}`, key, hash)
}

export function signClaims(claims: Part): string {
  return sign(goodHeader, claims)
}

/** Verifies with a verifier of its own, at the fixed time, with a tolerance of 5 s. */
export function check(token: string, key = secret): Verification {
  const result = createVerifier({ secrets: [key], clockToleranceS: 5, nowMs: () => nowMs }).verify(token)
  assert.ok(!(result instanceof Promise), 'HS256 is answered at once')
  return result
}

export function assertAccepted(token: string, userId: string): void {
  const result = check(token)
  assert.ok(result.ok, `refused: ${result.ok ? '' : result.reason}`)
  assert.equal(result.userId, userId)
}

/** Also checks that the reason, which goes to the log, quotes nothing of the token. */
export function assertRefused(token: string, reason: RegExp, code = 'TOKEN_INVALID'): void {
  const result = check(token)
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.code, code)
  assert.match(result.reason, reason)
  for (const part of token.split('.')) {
    if (part.length > 3) assert.ok(!result.reason.includes(part), 'the reason quotes the token')
  }
}

/** As plain objects, which deepEqual can compare; the objects of a token have no prototype. */
export function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, plain(child)]))
}
