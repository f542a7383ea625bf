import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import type { ClaimsPolicy } from './claims.ts'
import { checkClaims, sharedSecretClaims } from './claims.ts'
import type { CompactJws } from './compact-jws.ts'
import { maxTokenLength, parseCompactJws } from './compact-jws.ts'
import { minSecretBytes } from './secret-strength.ts'
import type { VerifiedToken } from './verified-token-cache.ts'
import { VerifiedTokenCache } from './verified-token-cache.ts'

export type { VerifiedToken } from './verified-token-cache.ts'

export type Verification =
  | ({ readonly ok: true } & VerifiedToken)
  | {
      readonly ok: false
      readonly code: 'TOKEN_INVALID' | 'TOKEN_EXPIRED'
      /** For the log only; it quotes nothing of the token. */
      readonly reason: string
    }

export type Verifier = {
  /**
   * Decides whether a token is good, and whose it is. Never throws for what the token holds. A token signed
   * with the shared secret is answered at once, not through a promise.
   */
  verify(token: string): Verification | Promise<Verification>
}

/** Where keys come from decides everything else: the algorithms, and which claims make an access token. */
type KeySource = {
  readonly algorithms: ReadonlySet<string>
  readonly claims: ClaimsPolicy
  isSignedBy(jws: CompactJws): boolean
}

function sharedSecretSource(secret: string): KeySource {
  const key = createSecretKey(secret, 'utf8')
  return {
    algorithms: new Set(['HS256']),
    claims: sharedSecretClaims,
    isSignedBy({ signingInput, signature }) {
      const expected = createHmac('sha256', key).update(signingInput, 'latin1').digest()
      // timingSafeEqual throws for different lengths; the length of a signature is no secret.
      return signature.length === expected.length && timingSafeEqual(signature, expected)
    },
  }
}

function invalid(reason: string): Verification {
  return { ok: false, code: 'TOKEN_INVALID', reason }
}

function verifyWith(source: KeySource, token: string, nowS: number, toleranceS: number): Verification {
  const jws = parseCompactJws(token)
  if (!jws.ok) return invalid(jws.reason)
  if (!source.algorithms.has(jws.header.alg)) return invalid('header: "alg" does not belong to the key')
  if (!source.isSignedBy(jws)) return invalid('the signature does not match')
  return checkClaims(jws.payload, source.claims, nowS, toleranceS)
}

/**
 * Makes the verifier for tokens that are signed with a shared secret: HS256 (RFC 7518 §3.2) and nothing else,
 * whatever the token's header says (RFC 8725 §3.1); the key is the secret's UTF-8 bytes, as Better Auth takes
 * them. Whether the secret is a good one is for describeWeakSecret to say.
 * @param options.clockToleranceS how far the signer's clock may be from this one, in seconds
 * @param options.nowMs the clock, in milliseconds since the epoch; Date.now by default
 * @param options.cacheSize how many verified tokens are remembered, 10,000 by default; 0 remembers none
 * @throws RangeError for a secret of fewer than 32 bytes, and for a tolerance that is negative or no number
 */
export function createVerifier(options: {
  readonly secret: string
  readonly clockToleranceS: number
  readonly nowMs?: () => number
  readonly cacheSize?: number
}): Verifier {
  const { secret, clockToleranceS, nowMs = Date.now, cacheSize = 10_000 } = options
  if (Buffer.byteLength(secret) < minSecretBytes) {
    throw new RangeError(`the secret must have at least ${minSecretBytes} bytes`)
  }
  // With NaN every comparison of times would be false, and no token would ever expire.
  if (!Number.isFinite(clockToleranceS) || clockToleranceS < 0) {
    throw new RangeError('the clock tolerance must be a number of seconds, 0 or more')
  }
  const source = sharedSecretSource(secret)
  const cache = new VerifiedTokenCache(cacheSize)
  return {
    verify(token) {
      // Before the hash, so that the work for a token of any size is bounded.
      if (token.length > maxTokenLength)
        return invalid(`the token is longer than ${maxTokenLength} characters`)
      const now = nowMs()
      const key = cache.keyOf(token)
      const known = cache.get(key, now)
      if (known !== undefined) return { ok: true, userId: known.userId, expiresAtS: known.expiresAtS }
      const verification = verifyWith(source, token, now / 1000, clockToleranceS)
      if (verification.ok) {
        cache.set(key, { userId: verification.userId, expiresAtS: verification.expiresAtS }, now)
      }
      return verification
    },
  }
}
