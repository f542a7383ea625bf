import { constants, type KeyObject, verify } from 'node:crypto'

/** One algorithm of RFC 7518 §3.1, RFC 8037 or RFC 9864: the keys that it fits, and how node:crypto checks it. */
export type SignatureAlgorithm = {
  readonly kty: 'OKP' | 'EC' | 'RSA'
  readonly crv?: string
  /** Null where the algorithm hashes by itself. */
  readonly hash: string | null
  /** Undefined where it is that of the modulus. */
  readonly signatureBytes?: number
  /** Undefined where those that node:crypto takes for such a key are right. */
  readonly options?: {
    readonly dsaEncoding?: 'ieee-p1363'
    readonly padding?: number
    readonly saltLength?: number
  }
}

const ed25519: SignatureAlgorithm = {
  kty: 'OKP',
  crv: 'Ed25519',
  hash: null,
  signatureBytes: 64,
}

/** R and S one after the other, each as long as the curve's order; DER is not understood (RFC 7518 §3.4). */
function ecdsa(crv: string, hash: string, signatureBytes: number): SignatureAlgorithm {
  return { kty: 'EC', crv, hash, signatureBytes, options: { dsaEncoding: 'ieee-p1363' } }
}

/** RSASSA-PKCS1-v1_5 is what node:crypto takes for a key of type rsa (RFC 7518 §3.3). */
function rsaPkcs1(hash: string): SignatureAlgorithm {
  return { kty: 'RSA', hash }
}

/** The salt is as long as the hash, no other length (RFC 7518 §3.5). */
function rsaPss(hash: string): SignatureAlgorithm {
  const options = {
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  }
  return { kty: 'RSA', hash, options }
}

/** The asymmetric algorithms by their name in a header or a key. Two names of one algorithm share the entry. */
export const signatureAlgorithms: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  ['EdDSA', ed25519],
  ['Ed25519', ed25519],
  ['ES256', ecdsa('P-256', 'sha256', 64)],
  ['ES384', ecdsa('P-384', 'sha384', 96)],
  ['ES512', ecdsa('P-521', 'sha512', 132)],
  ['RS256', rsaPkcs1('sha256')],
  ['RS384', rsaPkcs1('sha384')],
  ['RS512', rsaPkcs1('sha512')],
  ['PS256', rsaPss('sha256')],
  ['PS384', rsaPss('sha384')],
  ['PS512', rsaPss('sha512')],
])

/**
 * Checks a signature on another thread: the event loop goes on, and on several cores more are checked in a second.
 * That the key fits the algorithm is for the caller to see to.
 *
 * @param alg name of the algorithm; an unknown one fits no signature
 * @param signingInput ASCII text that was signed (RFC 7515 §5.1)
 * @returns whether the signature is good; false for anything that cannot be read
 */
export function verifySignature(
  key: KeyObject,
  alg: string,
  signingInput: string,
  signature: Uint8Array,
): Promise<boolean> {
  const algorithm = signatureAlgorithms.get(alg)
  if (algorithm === undefined || signature.length !== signatureBytesOf(algorithm, key)) {
    return Promise.resolve(false)
  }
  const data = Buffer.from(signingInput, 'latin1')
  // A bare key costs the main thread 5 µs a check, the same key among options 14.
  const keyInput = algorithm.options === undefined ? key : { key, ...algorithm.options }
  return new Promise((resolve) => {
    verify(algorithm.hash, data, keyInput, signature, (error, isGood) => {
      resolve(error === null && isGood)
    })
  })
}

function signatureBytesOf({ signatureBytes }: SignatureAlgorithm, key: KeyObject): number {
  return signatureBytes ?? Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}
