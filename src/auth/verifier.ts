import { type ClaimsRules, checkClaims } from './claims.ts'
import { type CompactJws, maxTokenLength, parseCompactJws } from './compact-jws.ts'
import { verifySignature } from './jws-signature.ts'
import type { KeyMissing, KeySet } from './key-set.ts'
import { tokenPolicies } from './policy.ts'
import { secretCheck } from './shared-secret.ts'
import { type VerifiedToken, VerifiedTokenCache } from './verified-token-cache.ts'

export type { VerifiedToken } from './verified-token-cache.ts'

type Refusal = {
  readonly ok: false
  readonly code: 'TOKEN_INVALID' | 'TOKEN_EXPIRED'
  /** For the log only; it quotes nothing of the token. */
  readonly reason: string
}

/** Nothing can be said about the token: the issuer's keys are not known and cannot be had. */
type Unavailable = {
  readonly ok: false
  readonly code: 'KEYS_UNAVAILABLE'
  readonly reason: string
  /** When it makes sense to try again, in seconds. */
  readonly retryAfterS: number
}

export type Verification = ({ readonly ok: true } & VerifiedToken) | Refusal | Unavailable

export type Verifier = {
  /**
   * Decides whether a token is good, and whose it is. Never throws for what the token holds. A token signed
   * with a shared secret is answered at once, not through a promise.
   */
  verify(token: string): Verification | Promise<Verification>
  /** How long after its expiry a token is still taken, in seconds. */
  readonly clockToleranceS: number
  /** Whether the token was found good a short while ago, so that nothing of it needs to be verified now. */
  isRemembered(token: string): boolean
}

/** An issuer with its own keys, and what its tokens must name. */
export type TrustedIssuer = {
  readonly keys: KeySet
  readonly issuer: string
  readonly audience: string
}

type SignatureCheck = { readonly ok: true } | Refusal | Unavailable

/** One row of tokenPolicies with the keys behind it. */
type KeySource = ClaimsRules & {
  checkSignature(jws: CompactJws): SignatureCheck | Promise<SignatureCheck>
}

function invalid(reason: string): Refusal {
  return { ok: false, code: 'TOKEN_INVALID', reason }
}

const noMatch = 'the signature does not match'

function secretSource(secrets: readonly string[]): KeySource {
  const isSigned = secretCheck(secrets)
  return {
    policy: tokenPolicies.secret,
    checkSignature: (jws) => (isSigned(jws) ? { ok: true } : invalid(noMatch)),
  }
}

function issuerSource({ keys, issuer, audience }: TrustedIssuer): KeySource {
  return {
    policy: tokenPolicies.keySet,
    issuer,
    audience,
    async checkSignature({ header: { alg, kid }, signingInput, signature }) {
      const first = await keys.find(alg, kid)
      if (first.found === undefined)
        return refuse(first, 'no known key has the "kid" and "alg" of the header')
      if (await verifySignature(first.found.key, alg, signingInput, signature)) return { ok: true }
      // The issuer may have put a new key under the name of an old one.
      const second = await keys.find(alg, kid, first.found)
      if (second.found === undefined) return refuse(second, noMatch)
      const isGood = await verifySignature(second.found.key, alg, signingInput, signature)
      return isGood ? { ok: true } : invalid(noMatch)
    },
  }
}

function refuse(lookup: KeyMissing, reason: string): Refusal | Unavailable {
  if (lookup.retryAfterS === undefined) return invalid(reason)
  const { retryAfterS } = lookup
  return { ok: false, code: 'KEYS_UNAVAILABLE', reason: 'no keys of the issuer can be had', retryAfterS }
}

/** Which source each algorithm belongs to: no algorithm belongs to two. */
function sourcesByAlgorithm(sources: readonly KeySource[]): ReadonlyMap<string, KeySource> {
  return new Map(sources.flatMap((source) => source.policy.algorithms.map((alg) => [alg, source] as const)))
}

/**
 * Makes the verifier of access tokens (RFC 7519, RFC 8725). policy.ts says which algorithms and claims go with which
 * source of keys; a source that is not given accepts nothing.
 *
 * @param options.secrets shared secrets, each as good as any other; none: HS256 is refused
 * @param options.jwks the issuer whose keys are a JWKS; undefined: asymmetric algorithms are refused
 * @param options.clockToleranceS how far the signer's clock may be from this one, in seconds
 * @param options.nowMs the clock, in milliseconds since the epoch; Date.now by default
 * @param options.cacheSize how many verified tokens are remembered, 50,000 by default; 0 remembers none
 * @throws RangeError without any source of keys, for a secret of fewer than 32 bytes, and for a tolerance that is
 * negative or no number
 */
export function createVerifier(options: {
  readonly secrets: readonly string[]
  readonly jwks?: TrustedIssuer
  readonly clockToleranceS: number
  readonly nowMs?: () => number
  readonly cacheSize?: number
}): Verifier {
  const { secrets, jwks, clockToleranceS, nowMs = Date.now, cacheSize = 50_000 } = options
  if (secrets.length === 0 && jwks === undefined) throw new RangeError('there is no secret and no issuer')
  // With NaN every comparison of times would be false, and no token would ever expire.
  if (!Number.isFinite(clockToleranceS) || clockToleranceS < 0) {
    throw new RangeError('the clock tolerance must be a number of seconds, 0 or more')
  }
  const sources = sourcesByAlgorithm([
    ...(secrets.length > 0 ? [secretSource(secrets)] : []),
    ...(jwks !== undefined ? [issuerSource(jwks)] : []),
  ])
  const cache = new VerifiedTokenCache(cacheSize)
  let generation = jwks?.keys.generation

  /** Forgets what was verified with keys that have changed since. */
  const forgetOldKeys = () => {
    if (generation === jwks?.keys.generation) return
    generation = jwks?.keys.generation
    cache.clear()
  }

  return {
    clockToleranceS,
    isRemembered(token) {
      if (token.length > maxTokenLength) return false
      forgetOldKeys()
      return cache.get(cache.keyOf(token), nowMs()) !== undefined
    },
    verify(token) {
      // Before the hash, so that the work for a token of any size is bounded.
      if (token.length > maxTokenLength)
        return invalid(`the token is longer than ${maxTokenLength} characters`)
      forgetOldKeys()
      const cacheKey = cache.keyOf(token)
      const known = cache.get(cacheKey, nowMs())
      if (known !== undefined) return { ok: true, userId: known.userId, expiresAtS: known.expiresAtS }
      const jws = parseCompactJws(token)
      if (!jws.ok) return invalid(jws.reason)
      const source = sources.get(jws.header.alg)
      if (source === undefined) return invalid('header: "alg" does not belong to a configured key')

      const checkedWith = generation
      const finish = (check: SignatureCheck): Verification => {
        if (!check.ok) return check
        const now = nowMs()
        const verification = checkClaims(jws.payload, source, now / 1000, clockToleranceS)
        // Keys that changed meanwhile must not leave behind what the old ones let in.
        if (verification.ok && checkedWith === jwks?.keys.generation) {
          cache.set(cacheKey, { userId: verification.userId, expiresAtS: verification.expiresAtS }, now)
        }
        return verification
      }
      const check = source.checkSignature(jws)
      return check instanceof Promise ? check.then(finish) : finish(check)
    },
  }
}
