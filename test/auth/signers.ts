import { constants, generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto'
import { KeySet, type KeySetEvent } from '../../src/auth/key-set.ts'
import { createVerifier, type Verification, type Verifier } from '../../src/auth/verifier.ts'
import { encodePart, nowMs, nowS, type Part, secret } from './tokens.ts'

export const issuer = 'https://app.example'
export const issuerClaims = { sub: 'user-1', iss: issuer, aud: issuer, iat: nowS, exp: nowS + 900 }

export type Jwk = Record<string, unknown>

/** An issuer's key pair, and how it signs. */
export type Signer = {
  readonly alg: string
  readonly kid: string
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  /** The public key as a JWKS has it. */
  readonly jwk: Jwk
  /** The bare signature over a signing input. */
  signature(signingInput: string): Buffer
  /** A token with these claims, its header as Better Auth writes it but for what is given. */
  sign(claims: Part, header?: object): string
}

const hashes: Readonly<Record<string, string>> = { 256: 'sha256', 384: 'sha384', 512: 'sha512' }
const curves: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }

export const algorithms = [
  ...['EdDSA', 'Ed25519', 'ES256', 'ES384', 'ES512'],
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
]

function generate(alg: string): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg.startsWith('Ed')) return generateKeyPairSync('ed25519')
  const namedCurve = curves[alg]
  if (namedCurve !== undefined) return generateKeyPairSync('ec', { namedCurve })
  return generateKeyPairSync('rsa', { modulusLength: 2048 })
}

/** @param keys a key pair of the right type; a new one by default */
export function makeSigner(alg: string, kid = 'key-1', keys = generate(alg)): Signer {
  const { publicKey, privateKey } = keys
  const hash = hashes[alg.slice(2)] ?? null
  const options = {
    ...(alg.startsWith('ES') && { dsaEncoding: 'ieee-p1363' as const }),
    ...(alg.startsWith('PS') && {
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    }),
  }
  const signature = (input: string) => signBytes(hash, Buffer.from(input), { key: privateKey, ...options })
  return {
    alg,
    kid,
    publicKey,
    privateKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), alg, kid },
    signature,
    sign(claims, header = {}) {
      const input = `${encodePart({ alg, kid, ...header })}.${encodePart(claims)}`
      return `${input}.${signature(input).toString('base64url')}`
    },
  }
}

type IssuerOptions = {
  readonly load?: () => Promise<unknown>
  readonly nowMs?: () => number
  readonly secrets?: readonly string[]
  readonly onEvent?: (event: KeySetEvent) => void
}

/** A verifier with a key set of its own, at the fixed time: the keys are these, or what `load` gives. */
export function verifierOf(keys: readonly (Signer | Jwk)[], options: IssuerOptions = {}): Verifier {
  const document = { keys: keys.map((key) => ('jwk' in key ? key.jwk : key)) }
  const { load = async () => document, secrets = [secret], onEvent, nowMs: clock = () => nowMs } = options
  const keySet = new KeySet({ load, nowMs: clock, ...(onEvent && { onEvent }) })
  return createVerifier({
    secrets,
    jwks: { keys: keySet, issuer, audience: issuer },
    clockToleranceS: 5,
    nowMs: clock,
  })
}

/** Code and reason, or the user: what a test compares. */
export async function judge(verifier: Verifier, token: string): Promise<string> {
  return describe(await verifier.verify(token))
}

function describe(result: Verification): string {
  return result.ok ? `accepted: ${result.userId}` : `${result.code}: ${result.reason}`
}
