/** The field and the curve of Ed25519: -x² + y² = 1 + d·x²·y² modulo p (RFC 8032 §5.1). */
const p = 2n ** 255n - 19n
const d = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

/**
 * The y of all points whose order divides 8. With such a key, signatures can be made that hold for many messages or
 * for any, without a private key.
 */
const yOfOrder8 = 55188659117513257062467267217118295137698188065244968500265048394206261417927n
const smallOrder: ReadonlySet<bigint> = new Set([0n, 1n, p - 1n, yOfOrder8, p - yOfOrder8])

/**
 * Says what keeps 32 bytes from being an Ed25519 public key: not the canonical form of a number, not a point of the
 * curve (RFC 8032 §5.1.3), or a point of small order. OpenSSL takes any 32 bytes for a key.
 *
 * @returns undefined when it is one
 */
export function describeBadEd25519Point(bytes: Uint8Array): string | undefined {
  if (bytes.length !== 32) return 'is not 32 bytes long'
  const number = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
  // The highest bit is the sign of x.
  const y = BigInt.asUintN(255, number)
  if (y >= p) return 'is not in its canonical form'
  if (smallOrder.has(y)) return 'is a point of small order'
  // x² = u / v has a root if u·v has one: Euler's criterion.
  const u = (y * y - 1n) % p
  const v = (d * y * y + 1n) % p
  return power((u * v) % p, (p - 1n) / 2n) === 1n ? undefined : 'is not a point of the curve'
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % p
    square = (square * square) % p
  }
  return result
}
