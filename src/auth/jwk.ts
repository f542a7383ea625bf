import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { isJsonObject, type JsonObject } from '../lib/strict-json.ts'
import { decodeBase64url } from './base64url.ts'
import { describeBadEd25519Point } from './ed25519-point.ts'
import { signatureAlgorithms } from './jws-signature.ts'

/** A public key that signatures are checked with. */
export type VerificationKey = {
  readonly kid: string | undefined
  /** What it may be used with: one algorithm where the JWK names it, else those of its type and curve. */
  readonly algorithms: ReadonlySet<string>
  readonly key: KeyObject
  /** The same for the same public key with the same algorithms, different for any other. */
  readonly fingerprint: string
}

export type JwkReading =
  | { readonly ok: true; readonly key: VerificationKey }
  | { readonly ok: false; readonly reason: string }

/** Why a key is refused; its message quotes nothing of the key. */
class Refusal extends Error {}

/** Length in bytes of a coordinate (RFC 7518 §6.2.1.2). */
const coordinateBytes: ReadonlyMap<string, number> = new Map([
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
])

const minModulusBits = 2048
/** Checking takes time with the square of the length; nobody signs tokens with more. */
const maxModulusBits = 8192
const minPublicExponent = 65537n
/** As much as OpenSSL takes with large moduli: a longer one makes a check as slow as a signature. */
const maxPublicExponent = 2n ** 64n

/**
 * Reads a JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2) as a key to check signatures with. Only public members are
 * looked at: private ones are left aside and not kept.
 *
 * @param jwk a parsed JSON value
 * @returns the key, or why it is not used, in words that quote nothing of it: symmetric, another type or curve, too
 * weak, damaged, or meant for something else by its `use`, `key_ops` or `alg`
 */
export function readJwk(jwk: unknown): JwkReading {
  try {
    if (!isJsonObject(jwk)) throw new Refusal('it is not an object')
    const { kid } = jwk
    if (kid !== undefined && typeof kid !== 'string') throw new Refusal('"kid" is not a string')
    checkPurpose(jwk)
    const publicMembers = readPublicMembers(jwk)
    const algorithms = readAlgorithms(jwk, publicMembers)
    const key = importKey(publicMembers)
    const fingerprint = JSON.stringify([publicMembers, [...algorithms]])
    return { ok: true, key: { kid, algorithms, key, fingerprint } }
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, reason: error.message }
    throw error
  }
}

function checkPurpose({ use, key_ops: operations }: JsonObject): void {
  if (use !== undefined && use !== 'sig') throw new Refusal('"use" is not sig')
  if (operations === undefined) return
  if (!Array.isArray(operations) || !operations.includes('verify')) {
    throw new Refusal('"key_ops" does not have verify')
  }
}

function readPublicMembers(jwk: JsonObject): JsonWebKey {
  const { kty, crv } = jwk
  if (kty === 'oct') throw new Refusal('it is symmetric')
  if (kty === 'RSA') return readRsaMembers(jwk)
  if (kty === 'OKP' && crv === 'Ed25519') return readEd25519Members(jwk)
  if (kty === 'EC' && typeof crv === 'string') return readEcMembers(jwk, crv)
  throw new Refusal('"kty" and "crv" are not those of a key that is used here')
}

function readEd25519Members(jwk: JsonObject): JsonWebKey {
  const bytes = readBytes(jwk, 'x')
  const bad = describeBadEd25519Point(bytes)
  if (bad !== undefined) throw new Refusal(`"x" ${bad}`)
  return { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') }
}

function readEcMembers(jwk: JsonObject, crv: string): JsonWebKey {
  const length = coordinateBytes.get(crv)
  const [x, y] = [readBytes(jwk, 'x'), readBytes(jwk, 'y')]
  if (length === undefined) throw new Refusal('"crv" is not a curve that is used here')
  if (x.length !== length || y.length !== length) throw new Refusal(`"x" or "y" is not ${length} bytes long`)
  return { kty: 'EC', crv, x: x.toString('base64url'), y: y.toString('base64url') }
}

function readRsaMembers(jwk: JsonObject): JsonWebKey {
  const [modulus, exponent] = [readNumber(jwk, 'n'), readNumber(jwk, 'e')]
  const bits = modulus.toString(2).length
  if (bits < minModulusBits) throw new Refusal(`"n" has ${bits} bits, fewer than ${minModulusBits}`)
  if (bits > maxModulusBits) throw new Refusal(`"n" has more than ${maxModulusBits} bits`)
  if (modulus % 2n === 0n) throw new Refusal('"n" is even')
  if (exponent < minPublicExponent) throw new Refusal(`"e" is smaller than ${minPublicExponent}`)
  if (exponent > maxPublicExponent) throw new Refusal('"e" has more than 64 bits')
  if (exponent % 2n === 0n) throw new Refusal('"e" is even')
  return { kty: 'RSA', n: encodeNumber(modulus), e: encodeNumber(exponent) }
}

function readBytes(jwk: JsonObject, name: string): Buffer {
  const text = jwk[name]
  const bytes = typeof text === 'string' ? decodeBase64url(text) : undefined
  if (bytes === undefined || bytes.length === 0) throw new Refusal(`"${name}" is not base64url`)
  return bytes
}

/** A leading zero byte, which RFC 7518 §2 forbids and some issuers write, changes nothing. */
function readNumber(jwk: JsonObject, name: string): bigint {
  return BigInt(`0x${readBytes(jwk, name).toString('hex')}`)
}

function encodeNumber(number: bigint): string {
  const hex = number.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url')
}

function readAlgorithms({ alg }: JsonObject, { kty, crv }: JsonWebKey): ReadonlySet<string> {
  const fitting = [...signatureAlgorithms].filter(([, each]) => each.kty === kty && each.crv === crv)
  if (alg === undefined) return new Set(fitting.map(([name]) => name))
  const named = fitting.find(([name]) => name === alg)?.[1]
  if (named === undefined) throw new Refusal('"alg" does not fit the key')
  return new Set(fitting.filter(([, each]) => each === named).map(([name]) => name))
}

function importKey(publicMembers: JsonWebKey): KeyObject {
  try {
    return createPublicKey({ key: publicMembers, format: 'jwk' })
  } catch {
    // What is left is a point that is not on its curve.
    throw new Refusal('it is not a public key')
  }
}
