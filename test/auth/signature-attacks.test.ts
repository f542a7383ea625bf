import { createHash, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { assertRefused, noKey, noMatch, signatureOf, signerOf, withSignature } from './attacked.ts'
import { issuerClaims, makeSigner, verifierOf } from './signers.ts'

/* Signatures and keys made of numbers that a careless check lets through. */
const [eddsa, rs256, ps256] = [signerOf('EdDSA'), signerOf('RS256'), signerOf('PS256')]

/** The order of the curve's group and the prime of its field (FIPS 186-5, SP 800-186). */
const curves = {
  ES256: {
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    bytes: 32,
  },
  ES384: {
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    bytes: 48,
  },
  ES512: {
    n: 0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    p: 2n ** 521n - 1n,
    bytes: 66,
  },
} as const

function bigEndian(number: bigint, bytes: number): Buffer {
  return Buffer.from(number.toString(16).padStart(bytes * 2, '0'), 'hex')
}

for (const [alg, { n, p, bytes }] of Object.entries(curves)) {
  test(`${alg} with r or s 0, 1, n or beyond is refused, and so are zeros`, async () => {
    const token = signerOf(alg).sign(issuerClaims)
    const good = signatureOf(token)
    const [r, s] = [good.subarray(0, bytes), good.subarray(bytes)].map((half) =>
      BigInt(`0x${half.toString('hex')}`),
    ) as [bigint, bigint]
    const max = 2n ** BigInt(bytes * 8) - 1n
    const edges = [0n, 1n, 2n, n - 1n, n, n + 1n, p - n, p, p + 1n, max - 1n, max].filter(
      (edge) => edge >= 0n,
    )
    for (const edge of [...edges, r, s]) {
      for (const other of edges) {
        await assertRefused(
          withSignature(token, Buffer.concat([bigEndian(edge, bytes), bigEndian(other, bytes)])),
          noMatch,
        )
        await assertRefused(
          withSignature(token, Buffer.concat([bigEndian(other, bytes), bigEndian(edge, bytes)])),
          noMatch,
        )
      }
    }
    // The same numbers modulo n, where they fit.
    for (const [first, second] of [
      [r + n, s],
      [r, s + n],
      [s, r],
    ] as const) {
      if (first > max || second > max) continue
      await assertRefused(
        withSignature(token, Buffer.concat([bigEndian(first, bytes), bigEndian(second, bytes)])),
        noMatch,
      )
    }
  })

  test(`${alg} as DER in place of raw is refused, padded to the raw length too`, async () => {
    const token = signerOf(alg).sign(issuerClaims)
    const good = signatureOf(token)
    const integer = (half: Buffer) => {
      const minimal = Buffer.from(half.toString('hex').replace(/^(00)+/, ''), 'hex')
      const body = (minimal[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.alloc(1), minimal]) : minimal
      return Buffer.concat([Buffer.from([2, body.length]), body])
    }
    const body = Buffer.concat([integer(good.subarray(0, bytes)), integer(good.subarray(bytes))])
    const head = body.length < 128 ? [0x30, body.length] : [0x30, 0x81, body.length]
    const der = Buffer.concat([Buffer.from(head), body])
    for (const signature of [
      der,
      der.subarray(0, good.length),
      Buffer.concat([der, Buffer.alloc(200)]).subarray(0, good.length),
    ]) {
      await assertRefused(withSignature(token, signature), noMatch)
    }
  })
}

const groupOrder = 2n ** 252n + 27742317777372353535851937790883648493n

function littleEndian(number: bigint): Buffer {
  return bigEndian(number, 32).reverse()
}

test('Ed25519 with S + L and every other S of L or more is refused', async () => {
  const token = eddsa.sign(issuerClaims)
  const good = signatureOf(token)
  const s = BigInt(`0x${Buffer.from(good.subarray(32)).reverse().toString('hex')}`)
  for (let times = 1n; s + times * groupOrder < 2n ** 256n; times++) {
    const signature = Buffer.concat([good.subarray(0, 32), littleEndian(s + times * groupOrder)])
    await assertRefused(withSignature(token, signature), noMatch)
  }
  for (const other of [
    0n,
    1n,
    groupOrder - 1n,
    groupOrder,
    groupOrder + 1n,
    2n ** 253n,
    2n ** 255n,
    2n ** 256n - 1n,
  ]) {
    await assertRefused(
      withSignature(token, Buffer.concat([good.subarray(0, 32), littleEndian(other)])),
      noMatch,
    )
  }
})

test('Ed25519 with an R of small order or out of the field is refused', async () => {
  const token = eddsa.sign(issuerClaims)
  const p = 2n ** 255n - 19n
  for (const r of [0n, 1n, p - 1n, p, p + 1n, 2n ** 255n - 1n, 2n ** 255n, 2n ** 256n - 1n]) {
    for (const s of [0n, 1n, groupOrder - 1n, groupOrder]) {
      await assertRefused(withSignature(token, Buffer.concat([littleEndian(r), littleEndian(s)])), noMatch)
    }
  }
})

test('a small-order Ed25519 key at the issuer is not used: no signature that it lets through is accepted', async () => {
  const p = 2n ** 255n - 19n
  const y8 = Buffer.from('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', 'hex')
  for (const x of [
    littleEndian(0n),
    littleEndian(1n),
    littleEndian(p - 1n),
    littleEndian(p),
    littleEndian(p + 1n),
    y8,
  ]) {
    const weak = { kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', kid: 'weak', x: x.toString('base64url') }
    const withWeak = verifierOf([weak, eddsa])
    for (let round = 0; round < 16; round++) {
      const token = eddsa.sign({ ...issuerClaims, jti: `${round}` }, { kid: 'weak' })
      for (const r of [littleEndian(0n), littleEndian(1n), littleEndian(p - 1n), y8, x]) {
        await assertRefused(withSignature(token, Buffer.concat([r, Buffer.alloc(32)])), noKey, withWeak)
      }
    }
  }
})

test('an RSA key with e = 1, or of 1024 bits, at the issuer is not used', async () => {
  const { n } = rs256.jwk
  const withE1 = verifierOf([{ kty: 'RSA', alg: 'RS256', kid: 'weak', n, e: 'AQ' }, eddsa])
  const token = rs256.sign(issuerClaims, { kid: 'weak' })
  // With e = 1 the padded hash is its own signature.
  const digestInfo = Buffer.concat([
    Buffer.from('3031300d060960864801650304020105000420', 'hex'),
    createHash('sha256')
      .update(token.slice(0, token.lastIndexOf('.')))
      .digest(),
  ])
  const padded = Buffer.concat([
    Buffer.from([0, 1]),
    Buffer.alloc(256 - 3 - digestInfo.length, 0xff),
    Buffer.from([0]),
    digestInfo,
  ])
  await assertRefused(withSignature(token, padded), noKey, withE1)
  await assertRefused(token, noKey, withE1)
  const short = makeSigner('RS256', 'short', generateKeyPairSync('rsa', { modulusLength: 1024 }))
  await assertRefused(short.sign(issuerClaims), noKey, verifierOf([short, eddsa]))
})

test('an RSA signature that is not below the modulus is refused', async () => {
  for (const signer of [rs256, ps256]) {
    const modulus = BigInt(`0x${Buffer.from(String(signer.jwk.n), 'base64url').toString('hex')}`)
    for (let round = 0; round < 20; round++) {
      const token = signer.sign({ ...issuerClaims, jti: `${round}` })
      const beyond = BigInt(`0x${signatureOf(token).toString('hex')}`) + modulus
      if (beyond >= 2n ** 2048n) continue
      await assertRefused(withSignature(token, bigEndian(beyond, 256)), noMatch)
    }
    for (const edge of [0n, 1n, modulus - 1n, modulus, 2n ** 2048n - 1n]) {
      await assertRefused(withSignature(signer.sign(issuerClaims), bigEndian(edge, 256)), noMatch)
    }
  }
})
