import assert from 'node:assert/strict'
import type { Verifier } from '../../src/auth/verifier.ts'
import { algorithms, judge, makeSigner, type Signer, verifierOf } from './signers.ts'

/** What the attacks are made on: a verifier that knows one key of every algorithm, and the shared secret of the tests. */
export const signers = algorithms.map((alg) => makeSigner(alg, `key-of-${alg}`))
export const verifier = verifierOf(signers)
export function signerOf(alg: string): Signer {
  const found = signers.find((signer) => signer.alg === alg)
  if (found === undefined) throw new Error(alg)
  return found
}

/** @param reason the whole reason, or a pattern of its end */
export async function assertRefused(
  token: string,
  reason: RegExp | string,
  by: Verifier = verifier,
): Promise<void> {
  const verdict = await judge(by, token)
  if (typeof reason === 'string') assert.equal(verdict, `TOKEN_INVALID: ${reason}`)
  else assert.match(verdict, new RegExp(`^TOKEN_INVALID: .*(${reason.source})`))
}

export const noMatch = 'the signature does not match'
export const noKey = 'no known key has the "kid" and "alg" of the header'

export function withSignature(token: string, signature: Uint8Array): string {
  return `${token.slice(0, token.lastIndexOf('.'))}.${Buffer.from(signature).toString('base64url')}`
}

export function signatureOf(token: string): Buffer {
  return Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
}
