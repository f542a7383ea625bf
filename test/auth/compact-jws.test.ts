import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { maxTokenLength, parseCompactJws } from '../../src/auth/compact-jws.ts'
import { encodePart, goodClaims, goodHeader, plain, sign, signClaims, signEncoded } from './tokens.ts'

function assertMalformed(token: string, reason: RegExp): void {
  const result = parseCompactJws(token)
  assert.ok(!result.ok, `accepted: ${token}`)
  assert.match(result.reason, reason)
}

/** RFC 7515 appendix A.1: line breaks inside the JSON, a name that is a URL, a key that is not text. */
const rfc7515A1 = {
  token:
    'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.' +
    'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.' +
    'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
  key: Buffer.from(
    'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
    'base64url',
  ),
}

test('the example of RFC 7515 appendix A.1 is taken apart into what its signature is over', () => {
  const jws = parseCompactJws(rfc7515A1.token)
  assert.ok(jws.ok)
  assert.deepEqual(jws.header, { alg: 'HS256', kid: undefined })
  assert.deepEqual(plain(jws.payload), { iss: 'joe', exp: 1300819380, 'http://example.com/is_root': true })
  const expected = createHmac('sha256', rfc7515A1.key).update(jws.signingInput).digest()
  assert.deepEqual(Buffer.from(jws.signature), expected)
})

test('other than three parts are refused', () => {
  const [header, claims, signature] = signClaims(goodClaims).split('.')
  for (const token of [
    '',
    `${header}`,
    `${header}.${claims}`,
    `${header}.${claims}.${signature}.`,
    `.${header}.${claims}.${signature}`,
    `${header}.${claims}.${signature}.${signature}`,
    '.'.repeat(8000),
  ]) {
    assertMalformed(token, /three parts/)
  }
})

test('an empty part is refused', () => {
  const [header, claims, signature] = signClaims(goodClaims).split('.')
  assertMalformed(`.${claims}.${signature}`, /header: not a JSON object/)
  assertMalformed(`${header}..${signature}`, /payload: not a JSON object/)
  assertMalformed(`${header}.${claims}.`, /signature is empty/)
  assertMalformed('..', /./)
})

test('8 KiB are accepted and one character more is refused', () => {
  const filled = (length: number) => sign(goodHeader, `{"a":"${'x'.repeat(length)}"}`)
  let length = 6000
  while (filled(length + 1).length <= maxTokenLength) length++
  assert.ok(filled(length).length > maxTokenLength - 2)
  assert.ok(parseCompactJws(filled(length)).ok)
  assertMalformed(filled(length + 2), /longer/)
  assertMalformed('a'.repeat(9000), /longer/)
})

test('padding, white space, the other alphabet and other characters are refused in every part', () => {
  // Each part's length is a multiple of four, so that the padding alone is at fault.
  const parts = [encodePart('{"alg":"HS256" }'), encodePart('{"sub":"a"}'), 'A'.repeat(43)]
  assert.ok(parseCompactJws(parts.join('.')).ok)
  for (const index of [0, 1, 2]) {
    for (const change of [
      (part: string) => `${part}=`,
      (part: string) => `${part}==`,
      (part: string) => `${part} `,
      (part: string) => ` ${part}`,
      (part: string) => `${part}\n`,
      (part: string) => `${part.slice(0, 4)}\n${part.slice(4)}`,
      (part: string) => `${part.slice(0, 4)}\t${part.slice(4)}`,
      (part: string) => `${part.slice(0, 4)}+${part.slice(5)}`,
      (part: string) => `${part.slice(0, 4)}/${part.slice(5)}`,
      (part: string) => `${part.slice(0, 4)}é${part.slice(5)}`,
      (part: string) => `${part.slice(0, 4)}\0${part.slice(5)}`,
      (part: string) => `${part.slice(0, 4)}\u{1f600}${part.slice(5)}`,
    ]) {
      assertMalformed(parts.map((part, at) => (at === index ? change(part) : part)).join('.'), /base64url/)
    }
  }
})

test('a last character with stray bits, and a length that no bytes have, are refused', () => {
  const [header = '', claims = '', signature = ''] = signClaims('{"sub":"ab"}').split('.')
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const stray = (part: string) => part.slice(0, -1) + alphabet[alphabet.indexOf(part.slice(-1)) + 1]
  assert.equal(Buffer.from(stray(signature), 'base64url').equals(Buffer.from(signature, 'base64url')), true)
  assertMalformed(`${header}.${claims}.${stray(signature)}`, /base64url/)
  assertMalformed(`${header}.${stray(encodePart('{"sub":"abc"}'))}.${signature}`, /base64url/)
  assertMalformed(`${stray(encodePart('{"alg":"a" }'))}.${claims}.${signature}`, /base64url|JSON/)
  assertMalformed(`${header}.${claims}.${signature}AA`, /base64url/)
})

test('bytes that are not UTF-8, and a byte order mark, are refused in both parts', () => {
  const latin1 = Buffer.from('{"alg":"\xff"}', 'latin1')
  assertMalformed(sign(latin1, goodClaims), /header: not JSON in UTF-8/)
  assertMalformed(signClaims(latin1), /payload: not JSON in UTF-8/)
  assertMalformed(sign('\uFEFF{"alg":"HS256"}', goodClaims), /header: not a JSON object/)
  assertMalformed(signClaims('\uFEFF{"sub":"a"}'), /payload: not a JSON object/)
})

test('equal names are refused in both parts, escaped ones too', () => {
  assertMalformed(sign('{"alg":"none","alg":"HS256"}', goodClaims), /header: .*twice/)
  assertMalformed(sign('{"alg":"HS256","\\u0061lg":"HS256"}', goodClaims), /header: .*twice/)
  assertMalformed(signClaims('{"sub":"a","sub":"b"}'), /payload: .*twice/)
  assertMalformed(signClaims('{"sub":"a","s\\u0075b":"b"}'), /payload: .*twice/)
})

test('a payload that is nested too deep, or is no object, is refused', () => {
  assertMalformed(signClaims(`{"a":${'['.repeat(2500)}${']'.repeat(2500)}}`), /payload: nested/)
  for (const text of ['[]', '"text"', 'null', '7', 'plain text'])
    assertMalformed(signClaims(text), /payload: not/)
})

test('crit and b64 are refused, whatever their value', () => {
  for (const extra of [
    { crit: ['exp'], exp: 1 },
    { crit: [] },
    { crit: null },
    { b64: false },
    { b64: true },
  ]) {
    assertMalformed(sign({ ...goodHeader, ...extra }, goodClaims), /header: "(crit|b64)" is not accepted/)
  }
})

test('a header that brings a key or says where one is refused', () => {
  for (const extra of [
    { jku: 'https://attacker.example/jwks' },
    { x5u: 'https://attacker.example/cert' },
    { jwk: { kty: 'oct', k: 'AAAA' } },
    { x5c: ['MIIB'] },
    { jwk: null },
  ]) {
    assertMalformed(
      sign({ ...goodHeader, ...extra }, goodClaims),
      /header: "(jku|x5u|jwk|x5c)" is not accepted/,
    )
  }
})

test('typ is absent, JWT or at+jwt, in any case and with application/ or without', () => {
  for (const typ of ['JWT', 'jwt', 'at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/JWT']) {
    assert.ok(parseCompactJws(sign({ alg: 'HS256', typ }, goodClaims)).ok, typ)
  }
  assert.ok(parseCompactJws(sign({ alg: 'HS256' }, goodClaims)).ok)
})

test('any other typ is refused', () => {
  for (const typ of [
    'better-auth.session-cache+jwt',
    'JWE',
    'logout+jwt',
    'dpop+jwt',
    'secevent+jwt',
    'JWT ',
    'JWT\n',
    'text/jwt',
    '',
    null,
    true,
    0,
    [],
    ['JWT'],
    {},
  ]) {
    assertMalformed(sign({ alg: 'HS256', typ }, goodClaims), /header: "typ"/)
  }
})

test('alg must be a string', () => {
  assertMalformed(sign({ typ: 'JWT' }, goodClaims), /header: "alg"/)
  for (const alg of [null, true, 0, [], ['HS256'], {}])
    assertMalformed(sign({ alg }, goodClaims), /header: "alg"/)
})

test('kid must be a string when it is there', () => {
  const jws = parseCompactJws(sign({ ...goodHeader, kid: 'key-1' }, goodClaims))
  assert.ok(jws.ok)
  assert.equal(jws.header.kid, 'key-1')
  for (const kid of [null, true, 0, [], ['key-1'], {}]) {
    assertMalformed(sign({ ...goodHeader, kid }, goodClaims), /header: "kid"/)
  }
})

test('no text at all makes it throw', () => {
  const nearlyParts = fc.array(
    fc.oneof(fc.base64String(), fc.json().map(encodePart), fc.string({ unit: 'binary' })),
    {
      maxLength: 4,
    },
  )
  fc.assert(
    fc.property(nearlyParts, (parts) => {
      const result = parseCompactJws(parts.join('.'))
      return result.ok || result.reason.length > 0
    }),
    { numRuns: 1000 },
  )
})

test('what was signed is what is handed on', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (claims) => {
      const signingInput = `${encodePart(goodHeader)}.${encodePart(claims)}`
      const jws = parseCompactJws(signEncoded(signingInput))
      assert.ok(jws.ok)
      assert.equal(jws.signingInput, signingInput)
      assert.equal(JSON.stringify(plain(jws.payload)), JSON.stringify(claims))
    }),
  )
})
