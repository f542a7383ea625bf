import type { JsonObject } from '../lib/strict-json.ts'
import { parseJsonObject } from '../lib/strict-json.ts'
import { decodeBase64url } from './base64url.ts'

/** Longest token that is looked at, in characters; Node's limit for all headers together is 16 KiB. */
export const maxTokenLength = 8192

export type CompactJws = {
  readonly ok: true
  readonly header: { readonly alg: string; readonly kid: string | undefined }
  readonly payload: JsonObject
  /** What the signature is over: the first two parts and the dot between them, ASCII. */
  readonly signingInput: string
  readonly signature: Uint8Array
}
export type Malformed = { readonly ok: false; readonly reason: string }

/** `at+jwt` is RFC 9068's. Any other type is a token for another purpose (RFC 8725 §3.11). */
const acceptedType = /^(?:application\/)?(?:jwt|at\+jwt)$/i

/**
 * Header parameters that refuse a token. `crit` and `b64` ask for extensions that are not understood here,
 * which RFC 7515 §4.1.11 and RFC 7797 §6 say to refuse. The others bring a key along, or say where to get
 * one: they are never used, and as no issuer that is served here sends them, a token that carries them is an
 * attack or a mistake; ignoring them would let it pass unseen.
 */
const refusedParameters = ['crit', 'b64', 'jku', 'jwk', 'x5u', 'x5c'] as const

function malformed(reason: string): Malformed {
  return { ok: false, reason }
}

function readHeader(object: JsonObject): { ok: true; header: CompactJws['header'] } | Malformed {
  const { alg, kid, typ } = object
  for (const name of refusedParameters) {
    if (Object.hasOwn(object, name)) return malformed(`header: "${name}" is not accepted`)
  }
  if (typ !== undefined && !(typeof typ === 'string' && acceptedType.test(typ))) {
    return malformed('header: "typ" is neither JWT nor at+jwt')
  }
  if (typeof alg !== 'string') return malformed('header: "alg" is not a string')
  if (kid !== undefined && typeof kid !== 'string') return malformed('header: "kid" is not a string')
  return { ok: true, header: { alg, kid } }
}

/**
 * Takes a JWS in compact form apart (RFC 7515 §3.1, §7.1; RFC 8725 for what is refused besides). Nothing in
 * the result is to be trusted before its signature has been checked. The work is bounded by the token's size.
 * @returns the parts, or why the token is refused, in words that quote nothing of it
 */
export function parseCompactJws(token: string): CompactJws | Malformed {
  if (token.length > maxTokenLength) return malformed(`the token is longer than ${maxTokenLength} characters`)
  const [headerPart, payloadPart, signaturePart, extraPart] = token.split('.', 4)
  if (
    headerPart === undefined ||
    payloadPart === undefined ||
    signaturePart === undefined ||
    extraPart !== undefined
  ) {
    return malformed('the token does not have three parts')
  }
  const headerBytes = decodeBase64url(headerPart)
  const payloadBytes = decodeBase64url(payloadPart)
  const signature = decodeBase64url(signaturePart)
  if (headerBytes === undefined || payloadBytes === undefined || signature === undefined) {
    return malformed('a part is not canonical unpadded base64url')
  }
  if (signature.length === 0) return malformed('the signature is empty')
  const headerObject = parseJsonObject(headerBytes)
  if (!headerObject.ok) return malformed(`header: ${headerObject.reason}`)
  const header = readHeader(headerObject.value)
  if (!header.ok) return header
  const payload = parseJsonObject(payloadBytes)
  if (!payload.ok) return malformed(`payload: ${payload.reason}`)
  const signingInput = `${headerPart}.${payloadPart}`
  return { ok: true, header: header.header, payload: payload.value, signingInput, signature }
}
