import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import type { CompactJws } from './compact-jws.ts'
import { minSecretBytes } from './secret-strength.ts'

/**
 * Makes the check of HS256 (RFC 7518 §3.2) with any of the secrets; a key is a secret's UTF-8 bytes, as Better Auth
 * takes them. Whether a secret is a good one is for describeWeakSecret to say.
 *
 * @returns whether one of the secrets has made the signature, compared in constant time
 * @throws RangeError for a secret of fewer than 32 bytes
 */
export function secretCheck(secrets: readonly string[]): (jws: CompactJws) => boolean {
  if (secrets.some((secret) => Buffer.byteLength(secret) < minSecretBytes)) {
    throw new RangeError(`a secret must have at least ${minSecretBytes} bytes`)
  }
  const keys = secrets.map((secret) => createSecretKey(secret, 'utf8'))
  return ({ signingInput, signature }) =>
    keys.some((key) => {
      const expected = createHmac('sha256', key).update(signingInput, 'latin1').digest()
      // timingSafeEqual throws for different lengths; the length of a signature is no secret.
      return signature.length === expected.length && timingSafeEqual(signature, expected)
    })
}
