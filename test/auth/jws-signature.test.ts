import assert from 'node:assert/strict'
import { constants, sign as signBytes, verify as verifyBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { readJwk } from '../../src/auth/jwk.ts'
import { signatureAlgorithms, verifySignature } from '../../src/auth/jws-signature.ts'
import { tokenPolicies } from '../../src/auth/policy.ts'
import { algorithms, type Jwk, makeSigner } from './signers.ts'

const input = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEifQ'

function importKey(jwk: Jwk) {
  const reading = readJwk(jwk)
  assert.ok(reading.ok, reading.ok ? '' : reading.reason)
  return reading.key.key
}

async function assertExample(alg: string, jwk: Jwk, token: string): Promise<void> {
  const [header, payload, signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  assert.equal(await verifySignature(importKey(jwk), alg, `${header}.${payload}`, bytes), true)
  assert.equal(await verifySignature(importKey(jwk), alg, `${header}.${payload}A`, bytes), false)
}

const rfc7515Payload =
  'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'

test('the example of RFC 7515 appendix A.2 (RS256) is good', async () => {
  const n =
    'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ'
  const signature =
    'cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw'
  const jwk = { kty: 'RSA', n, e: 'AQAB' }
  await assertExample('RS256', jwk, `eyJhbGciOiJSUzI1NiJ9.${rfc7515Payload}.${signature}`)
})

test('the example of RFC 7515 appendix A.3 (ES256) is good', async () => {
  const x = 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU'
  const y = 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0'
  const signature = 'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q'
  const jwk = { kty: 'EC', crv: 'P-256', x, y }
  await assertExample('ES256', jwk, `eyJhbGciOiJFUzI1NiJ9.${rfc7515Payload}.${signature}`)
})

test('the example of RFC 8037 appendix A.4 (EdDSA) is good', async () => {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }
  await assertExample(
    'EdDSA',
    jwk,
    'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.' +
      'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
  )
})

const kid = 'bilbo.baggins@hobbiton.example'
const rfc7520Payload =
  'SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4'
const rfc7520Rsa = {
  ...{ kty: 'RSA', kid, use: 'sig', e: 'AQAB' },
  n: 'n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw',
}

test('the example of RFC 7520 §4.1 (RS256) is good', async () => {
  const signature =
    'MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg'
  const header = 'eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9'
  await assertExample('RS256', rfc7520Rsa, `${header}.${rfc7520Payload}.${signature}`)
})

test('the example of RFC 7520 §4.2 (PS384) is good', async () => {
  const signature =
    'cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw'
  const header = 'eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9'
  await assertExample('PS384', rfc7520Rsa, `${header}.${rfc7520Payload}.${signature}`)
})

test('the example of RFC 7520 §4.3 (ES512) is good', async () => {
  const jwk = {
    ...{ kty: 'EC', kid, use: 'sig', crv: 'P-521' },
    x: 'AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt',
    y: 'AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1',
  }
  const signature =
    'AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2'
  const header = 'eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9'
  await assertExample('ES512', jwk, `${header}.${rfc7520Payload}.${signature}`)
})

test('the algorithms that can be checked are those of the policy', () => {
  assert.deepEqual([...signatureAlgorithms.keys()], [...tokenPolicies.keySet.algorithms])
  assert.deepEqual([...signatureAlgorithms.keys()], algorithms)
})

for (const alg of algorithms) {
  test(`${alg}: its own signature is good, any single bit changed or another length is not`, async () => {
    const { publicKey: key, signature } = makeSigner(alg)
    const good = signature(input)
    assert.equal(await verifySignature(key, alg, input, good), true)
    const changes = Array.from({ length: good.length * 8 }, (_, bit) => {
      const bytes = Buffer.from(good)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return bytes
    })
    const lengths = [
      good.subarray(0, -1),
      good.subarray(1),
      Buffer.alloc(0),
      Buffer.concat([good, good]),
      Buffer.concat([good, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), good]),
    ]
    const results = [...changes, ...lengths].map((bytes) => verifySignature(key, alg, input, bytes))
    assert.ok(!(await Promise.all(results)).includes(true))
  })
}

test('bytes at random are no signature, and nothing is thrown', async () => {
  const signers = ['EdDSA', 'ES256', 'RS256', 'PS256'].map((alg) => makeSigner(alg))
  const bytes = fc.oneof(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.uint8Array({ maxLength: 300 }))
  await fc.assert(
    fc.asyncProperty(bytes, fc.constantFrom(...signers), async (signature, { alg, publicKey }) => {
      assert.equal(await verifySignature(publicKey, alg, input, signature), false)
    }),
    { numRuns: 300 },
  )
})

test('a key is not used with an algorithm of another type, though the caller asks for it', async () => {
  const signers = ['EdDSA', 'ES256', 'ES384', 'RS256', 'PS256'].map((alg) => makeSigner(alg))
  for (const { alg, publicKey, signature } of signers) {
    for (const other of algorithms.filter(
      (name) => name !== alg && !(alg === 'EdDSA' && name === 'Ed25519'),
    )) {
      assert.equal(
        await verifySignature(publicKey, other, input, signature(input)),
        false,
        `${alg} as ${other}`,
      )
    }
    for (const unknown of ['none', 'HS256', 'constructor', '']) {
      assert.equal(await verifySignature(publicKey, unknown, input, signature(input)), false)
    }
  }
})

test('PSS with a salt of another length than the hash is no signature', async () => {
  const { publicKey, privateKey } = makeSigner('PS256')
  for (const saltLength of [0, 20, 31, 33, 64, constants.RSA_PSS_SALTLEN_MAX_SIGN]) {
    const options = { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
    const signature = signBytes('sha256', Buffer.from(input), options)
    assert.equal(await verifySignature(publicKey, 'PS256', input, signature), false, `salt of ${saltLength}`)
  }
})

test('a check takes the main thread a fraction of the time that it takes', async () => {
  const { publicKey, signature } = makeSigner('EdDSA')
  const [data, good] = [Buffer.from(input), signature(input)]
  const rounds = 1000
  const mainThreadUs = async (check: () => unknown) => {
    const before = process.threadCpuUsage()
    await Promise.all(Array.from({ length: rounds }, check))
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / rounds
  }
  const blocking = await mainThreadUs(() => verifyBytes(null, data, publicKey, good))
  const beside = await mainThreadUs(() => verifySignature(publicKey, 'EdDSA', input, good))
  assert.ok(beside < blocking / 2, `${beside} µs beside the event loop, ${blocking} µs on it`)
})
