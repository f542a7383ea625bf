import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { generateKeyPairSync, sign as signAsymmetric } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { createVerifier } from '../../src/auth/verifier.ts'
import {
  assertAccepted,
  assertRefused,
  check,
  encodePart,
  goodClaims,
  goodHeader,
  nowS,
  secret,
  sign,
  signClaims,
  signEncoded,
} from './tokens.ts'

const good = signClaims(goodClaims)
const [headerPart = '', claimsPart = '', signaturePart = ''] = good.split('.')

test('a good token is accepted, with its user and expiry', () => {
  assert.deepEqual(check(good), { ok: true, userId: 'user-1', expiresAtS: nowS + 900 })
})

test('the answer is a value, not a promise, from the cache too', () => {
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 5, nowMs: () => nowS * 1000 })
  for (let round = 0; round < 2; round++) assert.ok(!(verifier.verify(good) instanceof Promise))
})

test('the clock is the real one by default', () => {
  const exp = Math.floor(Date.now() / 1000) + 60
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 0 })
  assert.deepEqual(verifier.verify(signClaims({ sub: 'user-1', exp })), {
    ok: true,
    userId: 'user-1',
    expiresAtS: exp,
  })
  const expired = verifier.verify(signClaims({ sub: 'user-1', exp: exp - 120 }))
  assert.ok(!(expired instanceof Promise) && !expired.ok && expired.code === 'TOKEN_EXPIRED')
})

test('the key is the UTF-8 bytes of the secret, not what it would decode to', () => {
  const base64 = Buffer.from('0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c', 'hex').toString('base64').padEnd(44, 'x')
  for (const key of [base64, 'schlüssel-für-die-prüfung-äöüß-12345', '🔑🗝️'.repeat(6)]) {
    assert.ok(check(sign(goodHeader, goodClaims, key), key).ok)
    assert.ok(!check(sign(goodHeader, goodClaims, Buffer.from(key, 'base64')), key).ok)
    assert.ok(!check(sign(goodHeader, goodClaims, Buffer.from(key, 'latin1')), `${key}é`).ok)
  }
})

test('a token signed with another secret is refused, a similar one included', () => {
  for (const key of [
    `${secret} `,
    secret.slice(0, -1),
    secret.toLowerCase(),
    '',
    '\0'.repeat(32),
    secret.repeat(2),
  ]) {
    assertRefused(sign(goodHeader, goodClaims, key), /signature does not match/)
  }
})

test('none is refused in any case, with a signature and without', () => {
  for (const alg of ['none', 'None', 'NONE', 'nOnE', 'none ', ' none', 'nonе', '']) {
    const input = `${encodePart({ alg, typ: 'JWT' })}.${claimsPart}`
    assertRefused(`${input}.`, /signature is empty/)
    assertRefused(input, /three parts/)
    assertRefused(`${input}.${signaturePart}`, /"alg" does not belong/)
    assertRefused(signEncoded(input), /"alg" does not belong/)
  }
})

test('HS256 in another spelling is refused', () => {
  for (const alg of ['hs256', 'Hs256', 'HS256 ', 'HS-256', 'HMAC-SHA256', 'SHA256']) {
    assertRefused(sign({ alg }, goodClaims), /"alg" does not belong/)
  }
})

test('another algorithm in the header is refused, though the signature be a good HS256', () => {
  for (const alg of [
    'HS384',
    'HS512',
    'RS256',
    'PS256',
    'ES256',
    'ES512',
    'EdDSA',
    'Ed25519',
    'dir',
    'A256KW',
    'HS1',
    'constructor',
  ]) {
    assertRefused(sign({ alg }, goodClaims), /"alg" does not belong/)
  }
})

test('HS384 and HS512 with the right secret are refused, by their name or called HS256', () => {
  for (const [alg, hash] of [
    ['HS384', 'sha384'],
    ['HS512', 'sha512'],
  ] as const) {
    assertRefused(sign({ alg }, goodClaims, secret, hash), /"alg" does not belong/)
    assertRefused(sign(goodHeader, goodClaims, secret, hash), /signature does not match/)
  }
})

type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
const pairs: Readonly<Record<'RS256' | 'ES256' | 'EdDSA', Pair>> = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
}

for (const [alg, { publicKey, privateKey }] of Object.entries(pairs)) {
  test(`a token really signed with ${alg} is refused, by its name or called HS256`, () => {
    for (const label of [alg, 'HS256']) {
      const input = `${encodePart({ alg: label, kid: '1' })}.${claimsPart}`
      const hash = alg === 'EdDSA' ? undefined : 'sha256'
      const signature = signAsymmetric(hash, Buffer.from(input), {
        key: privateKey,
        dsaEncoding: 'ieee-p1363',
      })
      assertRefused(
        `${input}.${signature.toString('base64url')}`,
        /"alg" does not belong|signature does not match/,
      )
    }
  })

  test(`HS256 with an ${alg} public key as its secret is refused, in every form of the key`, () => {
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const jwk = publicKey.export({ format: 'jwk' })
    const publicText = jwk.x ?? jwk.n ?? ''
    for (const key of [
      pem,
      pem.trim(),
      pem.replaceAll('\n', '\r\n'),
      publicKey.export({ type: 'spki', format: 'der' }),
      publicText,
      Buffer.from(publicText, 'base64url'),
      JSON.stringify(jwk),
      JSON.stringify({ keys: [jwk] }),
      JSON.stringify({ keys: [{ ...jwk, alg, kid: '1' }] }),
    ]) {
      assertRefused(sign({ ...goodHeader, kid: '1' }, goodClaims, key), /signature does not match/)
    }
  })
}

test('a key that the token brings along is not used', () => {
  const key = 'an-attackers-own-key-of-32-bytes'
  const jwk = { kty: 'oct', k: Buffer.from(key).toString('base64url'), alg: 'HS256' }
  assertRefused(sign({ ...goodHeader, jwk }, goodClaims, key), /"jwk" is not accepted/)
  const publicJwk = pairs.EdDSA.publicKey.export({ format: 'jwk' })
  const input = `${encodePart({ alg: 'EdDSA', jwk: publicJwk })}.${claimsPart}`
  const signature = signAsymmetric(undefined, Buffer.from(input), pairs.EdDSA.privateKey).toString(
    'base64url',
  )
  assertRefused(`${input}.${signature}`, /"jwk" is not accepted/)
})

test('an address of keys in the token is not used, though the signature be good', () => {
  for (const name of ['jku', 'x5u']) {
    for (const url of [
      'https://attacker.example/jwks.json',
      'http://127.0.0.1:1/',
      'file:///etc/passwd',
      '',
    ]) {
      assertRefused(sign({ ...goodHeader, [name]: url }, goodClaims), new RegExp(`"${name}" is not accepted`))
    }
  }
})

test('kid does not matter: with a good signature it is accepted, with a bad one refused', () => {
  for (const kid of [
    '../../../../dev/null',
    "1' or '1'='1",
    'https://attacker.example/key',
    '__proto__',
    'a\0b',
    '',
    'x'.repeat(3000),
  ]) {
    assertAccepted(sign({ ...goodHeader, kid }, goodClaims), 'user-1')
    assertRefused(sign({ ...goodHeader, kid }, goodClaims, ''), /signature does not match/)
  }
})

test('an empty, cut, lengthened, doubled or swapped signature is refused', () => {
  const bytes = Buffer.from(signaturePart, 'base64url')
  const other = signClaims({ ...goodClaims, sub: 'user-2' }).split('.')[2] ?? ''
  assertRefused(`${headerPart}.${claimsPart}.`, /signature is empty/)
  for (const signature of [
    ...Array.from({ length: 31 }, (_, index) => bytes.subarray(0, index + 1)),
    bytes.subarray(1),
    Buffer.concat([bytes, bytes]),
    Buffer.concat([bytes, Buffer.from([0])]),
    Buffer.alloc(32),
    Buffer.alloc(32, 0xff),
    Buffer.from(bytes).reverse(),
    Buffer.from(other, 'base64url'),
    Buffer.from(bytes.toString('hex')),
  ]) {
    assertRefused(
      `${headerPart}.${claimsPart}.${signature.toString('base64url')}`,
      /signature does not match/,
    )
  }
  assertRefused(`${headerPart}.${claimsPart}.${signaturePart}${signaturePart}`, /base64url|does not match/)
})

test('parts of two good tokens put together are refused', () => {
  const other = signClaims({ ...goodClaims, sub: 'user-2' }).split('.')[1]
  assertRefused(`${headerPart}.${other}.${signaturePart}`, /signature does not match/)
  assertRefused(`${claimsPart}.${headerPart}.${signaturePart}`, /header|signature/)
})

test('the signature is checked before the claims are looked at', () => {
  assertRefused(sign(goodHeader, { sub: 'user-1', exp: 1 }, ''), /signature does not match/)
  assertRefused(sign(goodHeader, {}, ''), /signature does not match/)
})

test('padding, white space and stray last bits are refused around a good signature', () => {
  for (const token of [
    `${good}=`,
    `${good} `,
    ` ${good}`,
    `${good}\n`,
    `${good}\r\n`,
    `${good}\0`,
    `${headerPart}=.${claimsPart}.${signaturePart}`,
    `${headerPart} .${claimsPart}.${signaturePart}`,
    `"${good}"`,
  ]) {
    assertRefused(token, /base64url/)
  }
  const padded = signEncoded(`${headerPart}.${encodePart('{"sub":"a" }')}=`)
  assertRefused(padded, /base64url/)
})

test('a token of 9 kB is refused, though the signature be good', () => {
  const token = signClaims({ ...goodClaims, name: 'x'.repeat(6700) })
  assert.ok(token.length > 9000)
  assertRefused(token, /longer than 8192/)
  assertRefused('a'.repeat(10_000_000), /longer than 8192/)
})

test('a token of 8,000 characters is accepted', () => {
  const token = signClaims({ ...goodClaims, name: 'x'.repeat(5850) })
  assert.ok(token.length > 7900 && token.length <= 8192)
  assertAccepted(token, 'user-1')
})

test('not UTF-8, a byte order mark, equal names and deep nesting are refused with a good signature', () => {
  const exp = nowS + 900
  assertRefused(signClaims(Buffer.from(`{"exp":${exp},"sub":"\xff"}`, 'latin1')), /UTF-8/)
  assertRefused(signClaims(`\uFEFF{"exp":${exp},"sub":"a"}`), /not a JSON object/)
  assertRefused(signClaims(`{"exp":${exp},"sub":"a","s\\u0075b":"b"}`), /twice/)
  assertRefused(signClaims(`{"exp":${exp},"sub":"a","x":${'['.repeat(40)}${']'.repeat(40)}}`), /nested/)
  assertRefused(sign(Buffer.from('{"alg":"HS256","x":"\xff"}', 'latin1'), goodClaims), /UTF-8/)
})

test('any change of one bit or one character is refused', () => {
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 5, nowMs: () => nowS * 1000 })
  assert.ok(!(verifier.verify(good) instanceof Promise))
  const replacements = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \0é']
  let tried = 0
  for (let index = 0; index < good.length; index++) {
    const code = good.charCodeAt(index)
    const bits = Array.from({ length: 8 }, (_, bit) => String.fromCharCode(code ^ (1 << bit)))
    for (const character of [...bits, ...replacements, '']) {
      if (character === good[index]) continue
      const result = verifier.verify(good.slice(0, index) + character + good.slice(index + 1))
      assert.ok(
        !(result instanceof Promise) && !result.ok,
        `character ${index} as ${JSON.stringify(character)}`,
      )
      tried++
    }
  }
  assert.ok(tried > good.length * 70)
})

test('any token with any one character changed is refused', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, maxLength: 40 }),
      fc.nat(),
      fc.string({ maxLength: 2 }),
      (name, at, change) => {
        const token = signClaims({ ...goodClaims, name })
        const index = at % token.length
        const changed = token.slice(0, index) + change + token.slice(index + 1)
        fc.pre(changed !== token)
        assert.ok(check(token).ok)
        assert.ok(!check(changed).ok)
      },
    ),
    { numRuns: 300 },
  )
})

test('no text at all makes it throw or is accepted', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (token) => !check(token).ok),
    { numRuns: 500 },
  )
})

test('a secret under 32 bytes and a tolerance that is no number make no verifier', () => {
  for (const weak of ['', 'x'.repeat(31)]) {
    assert.throws(() => createVerifier({ secrets: [weak], clockToleranceS: 5 }), RangeError)
  }
  for (const clockToleranceS of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
    assert.throws(() => createVerifier({ secrets: [secret], clockToleranceS }), RangeError)
  }
})
