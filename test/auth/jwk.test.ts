import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { describeBadEd25519Point } from '../../src/auth/ed25519-point.ts'
import { readJwk } from '../../src/auth/jwk.ts'
import { algorithms, type Jwk, makeSigner } from './signers.ts'

/** The names of its algorithms, or why it is refused. */
function read(jwk: unknown): string {
  const reading = readJwk(jwk)
  return reading.ok ? [...reading.key.algorithms].join(' ') : reading.reason
}

/** Also checks that the reason, which goes to the log, quotes nothing of the key. */
function assertRefused(jwk: Jwk, reason: RegExp): void {
  const text = read(jwk)
  assert.match(text, reason)
  for (const value of Object.values(jwk)) {
    if (typeof value === 'string' && value.length > 8) assert.ok(!text.includes(value), text)
  }
}

function withoutAlg(alg: string): Jwk {
  const { alg: _, ...jwk } = makeSigner(alg).jwk
  return jwk
}

const ed25519 = withoutAlg('EdDSA')
const p256 = withoutAlg('ES256')
const p384 = withoutAlg('ES384')
const p521 = withoutAlg('ES512')
const rsa = withoutAlg('RS256')
const all = [ed25519, p256, p384, p521, rsa]

test('without alg a key has the algorithms of its type and curve', () => {
  assert.deepEqual(all.map(read), [
    'EdDSA Ed25519',
    'ES256',
    'ES384',
    'ES512',
    'RS256 RS384 RS512 PS256 PS384 PS512',
  ])
})

test('with alg it has that one alone; EdDSA and Ed25519 are one', () => {
  for (const alg of algorithms) {
    const expected = alg.startsWith('Ed') ? 'EdDSA Ed25519' : alg
    assert.deepEqual(
      all.map((jwk) => read({ ...jwk, alg })).filter((text) => !text.includes('not fit')),
      [expected],
    )
  }
})

test('an alg of another type, or one that is not for signatures here, refuses the key', () => {
  for (const alg of [
    'HS256',
    'none',
    'ES256K',
    'RSA-OAEP',
    'ECDH-ES',
    'RS1',
    'eddsa',
    '',
    null,
    0,
    ['ES256'],
  ]) {
    for (const jwk of all) assertRefused({ ...jwk, alg }, /"alg" does not fit/)
  }
  assertRefused({ ...p256, alg: 'ES384' }, /"alg" does not fit/)
  assertRefused({ ...rsa, alg: 'ES256' }, /"alg" does not fit/)
  assertRefused({ ...ed25519, alg: 'ES256' }, /"alg" does not fit/)
})

test('a symmetric key is not used, whatever it calls itself', () => {
  const k = randomBytes(32).toString('base64url')
  for (const alg of [undefined, 'HS256', 'EdDSA', 'RS256']) assertRefused({ kty: 'oct', k, alg }, /symmetric/)
})

test('other types and curves are not used', () => {
  const others = [generateKeyPairSync('x25519'), generateKeyPairSync('ed448'), generateKeyPairSync('x448')]
  for (const { publicKey } of others) {
    assertRefused({ ...publicKey.export({ format: 'jwk' }) }, /"kty" and "crv"/)
  }
  const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' })
  assertRefused({ ...secp256k1 }, /"crv" is not a curve/)
  for (const kty of [undefined, null, '', 'rsa', 'ec', 'AKP', 1])
    assertRefused({ ...rsa, kty }, /"kty" and "crv"/)
  for (const crv of [undefined, null, 'p-256', 'P-192', 'Ed25519', '__proto__', 'constructor']) {
    assertRefused({ ...p256, crv }, /"crv"/)
  }
})

test('an RSA key of fewer than 2048 bits, or of more than 8192, is refused', () => {
  const modulus = (bits: number) => {
    const bytes = randomBytes(Math.ceil(bits / 8))
    bytes[0] = ((bytes[0] ?? 0) | 0x80) >> ((8 - (bits % 8)) % 8)
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 1
    return bytes.toString('base64url')
  }
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
  assertRefused({ ...weak }, /"n" has 1024 bits/)
  assertRefused({ ...rsa, n: modulus(2047) }, /"n" has 2047 bits/)
  assertRefused({ ...rsa, n: modulus(8193) }, /"n" has more than 8192/)
  assertRefused({ ...rsa, n: modulus(400_000) }, /"n" has more than 8192/)
  for (const bits of [2048, 2050, 3072, 4096, 8192]) assert.match(read({ ...rsa, n: modulus(bits) }), /RS256/)
})

test('an RSA exponent that is 1, small, even or huge is refused', () => {
  const exponent = (number: bigint) => {
    const hex = number.toString(16)
    return Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex').toString('base64url')
  }
  for (const e of [0n, 1n, 2n, 3n, 17n, 257n, 65535n, 65536n])
    assertRefused({ ...rsa, e: exponent(e) }, /"e" is smaller/)
  for (const e of [65538n, 2n ** 32n]) assertRefused({ ...rsa, e: exponent(e) }, /"e" is even/)
  for (const e of [2n ** 64n + 1n, 2n ** 2000n + 1n])
    assertRefused({ ...rsa, e: exponent(e) }, /"e" has more/)
  for (const e of [65537n, 65539n, 2n ** 64n - 1n]) assert.match(read({ ...rsa, e: exponent(e) }), /RS256/)
  const even = Buffer.from(String(rsa.n), 'base64url')
  even[even.length - 1] = (even.at(-1) ?? 0) & 0xfe
  assertRefused({ ...rsa, n: even.toString('base64url') }, /"n" is even/)
})

test('a leading zero in a number changes neither the key nor its fingerprint', () => {
  const padded = Buffer.concat([Buffer.alloc(1), Buffer.from(String(rsa.n), 'base64url')]).toString(
    'base64url',
  )
  const [plain, zero] = [readJwk(rsa), readJwk({ ...rsa, n: padded, e: 'AAEAAQ' })]
  assert.ok(plain.ok && zero.ok)
  assert.equal(zero.key.fingerprint, plain.key.fingerprint)
  assert.ok(zero.key.key.equals(plain.key.key))
})

test('a point that is not on its curve, or of another length, is refused', () => {
  for (const jwk of [p256, p384, p521]) {
    const { x, y } = jwk
    const zeros = Buffer.alloc(Buffer.from(String(x), 'base64url').length)
    assertRefused({ ...jwk, y: x }, /not a public key/)
    assertRefused(
      { ...jwk, x: zeros.toString('base64url'), y: zeros.toString('base64url') },
      /not a public key/,
    )
    const all255 = Buffer.alloc(zeros.length, 255).toString('base64url')
    assertRefused({ ...jwk, x: all255, y: all255 }, /not a public key/)
    for (const change of [
      { x: Buffer.concat([Buffer.alloc(1), Buffer.from(String(x), 'base64url')]).toString('base64url') },
      { x: Buffer.from(String(x), 'base64url').subarray(1).toString('base64url') },
      { y: Buffer.from(String(y), 'base64url').subarray(0, -1).toString('base64url') },
    ]) {
      assertRefused({ ...jwk, ...change }, /bytes long/)
    }
  }
})

test('members that are missing, of another type or not canonical base64url are refused', () => {
  for (const [jwk, names] of [
    [rsa, ['n', 'e']],
    [p256, ['x', 'y']],
    [ed25519, ['x']],
  ] as const) {
    for (const name of names) {
      for (const value of [
        undefined,
        null,
        '',
        0,
        [],
        {},
        'AQ==',
        'A',
        '!',
        `${jwk[name]}=`,
        ` ${jwk[name]}`,
      ]) {
        assertRefused({ ...jwk, [name]: value }, new RegExp(`"${name}" is not base64url`))
      }
    }
  }
})

test('use and key_ops, when there, must allow signatures to be checked', () => {
  for (const jwk of all) {
    for (const good of [
      { use: 'sig' },
      { key_ops: ['verify'] },
      { use: 'sig', key_ops: ['sign', 'verify'] },
    ]) {
      assert.equal(read({ ...jwk, ...good }), read(jwk))
    }
    for (const use of ['enc', '', 'SIG', null, 0, ['sig']]) assertRefused({ ...jwk, use }, /"use" is not sig/)
    for (const operations of [[], ['sign'], ['encrypt', 'wrapKey'], 'verify', null, {}]) {
      assertRefused({ ...jwk, key_ops: operations }, /"key_ops" does not have verify/)
    }
  }
})

test('private members are left aside, and the key that is kept is public', () => {
  for (const alg of ['EdDSA', 'ES256', 'RS256']) {
    const { privateKey, publicKey } = makeSigner(alg)
    const jwk = privateKey.export({ format: 'jwk' })
    const reading = readJwk({ ...jwk, kid: 'key-1' })
    assert.ok(reading.ok)
    assert.equal(reading.key.key.type, 'public')
    assert.ok(reading.key.key.equals(publicKey))
    assert.ok(!JSON.stringify(reading.key).includes(String(jwk.d)))
  }
})

test('certificates and addresses in a key are left aside', () => {
  const extra = { x5c: ['MIIB'], x5u: 'https://attacker.example/cert', x5t: 'AAAA' }
  for (const jwk of all) assert.equal(read({ ...jwk, ...extra }), read(jwk))
})

test('a name that is no string refuses the key; any string is a name', () => {
  for (const kid of [null, 0, 1, true, [], {}]) assertRefused({ ...ed25519, kid }, /"kid" is not a string/)
  for (const kid of ['', '1', '__proto__', '../../etc/passwd', 'a\0b']) {
    const reading = readJwk({ ...ed25519, kid })
    assert.ok(reading.ok && reading.key.kid === kid)
  }
})

test('no JSON value makes it throw', () => {
  const members = fc.record(
    Object.fromEntries(
      ['kty', 'crv', 'x', 'y', 'n', 'e', 'alg', 'use', 'key_ops', 'kid'].map((name) => [
        name,
        fc.oneof(fc.constantFrom(...all.map((jwk) => jwk[name])), fc.jsonValue(), fc.base64String()),
      ]),
    ),
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), members), (jwk) => typeof readJwk(jwk).ok === 'boolean'),
    { numRuns: 1000 },
  )
})

/* Arithmetic on the curve of RFC 8032 §5.1, only for the tests below. */
const p = 2n ** 255n - 19n
const order = 2n ** 252n + 27742317777372353535851937790883648493n
const mod = (a: bigint) => ((a % p) + p) % p
const inverse = (a: bigint) => power(a, p - 2n)
const d = mod(-121665n * inverse(121666n))
type Point = readonly [x: bigint, y: bigint]

function power(base: bigint, exponent: bigint): bigint {
  let [result, square] = [1n, mod(base)]
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = mod(result * square)
    square = mod(square * square)
  }
  return result
}

function add([x1, y1]: Point, [x2, y2]: Point): Point {
  const t = mod(d * x1 * x2 * y1 * y2)
  return [mod((x1 * y2 + x2 * y1) * inverse(1n + t)), mod((y1 * y2 + x1 * x2) * inverse(1n - t))]
}

function multiply(point: Point, factor: bigint): Point {
  let [result, double]: [Point, Point] = [[0n, 1n], point]
  for (let rest = factor; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = add(result, double)
    double = add(double, double)
  }
  return result
}

/** The point of this y with an even x; undefined where there is none. */
function pointOf(y: bigint): Point | undefined {
  const square = mod((y * y - 1n) * inverse(d * y * y + 1n))
  for (const root of [
    power(square, (p + 3n) / 8n),
    mod(power(square, (p + 3n) / 8n) * power(2n, (p - 1n) / 4n)),
  ]) {
    if (mod(root * root) === square) return [root & 1n ? mod(-root) : root, y]
  }
  return undefined
}

function encodePoint(y: bigint, sign: bigint): Buffer {
  const hex = (y | (sign << 255n)).toString(16).padStart(64, '0')
  return Buffer.from(hex, 'hex').reverse()
}

test('every Ed25519 point of small order is refused, with either sign', () => {
  const torsion = new Map<bigint, Point>()
  for (let y = 2n; torsion.size < 5; y++) {
    const point = pointOf(y)
    const small = point && multiply(point, order)
    if (small) for (let times = 0n; times < 8n; times++) torsion.set(multiply(small, times)[1], small)
  }
  assert.equal(torsion.size, 5)
  for (const y of torsion.keys()) {
    for (const sign of [0n, 1n]) {
      const bytes = encodePoint(y, sign)
      assert.equal(describeBadEd25519Point(bytes), 'is a point of small order')
      assertRefused({ ...ed25519, x: bytes.toString('base64url') }, /"x" is a point of small order/)
    }
  }
})

test('Ed25519 keys that are not the canonical form of their number are refused', () => {
  for (let y = p; y < 2n ** 255n; y++) {
    for (const sign of [0n, 1n]) {
      assert.equal(describeBadEd25519Point(encodePoint(y, sign)), 'is not in its canonical form')
    }
  }
})

test('bytes that are no point of the Ed25519 curve are refused, and points are accepted', () => {
  let points = 0
  for (let y = 2n; y < 60n; y++) {
    const isPoint = pointOf(y) !== undefined
    if (isPoint) points++
    assert.equal(
      describeBadEd25519Point(encodePoint(y, 0n)),
      isPoint ? undefined : 'is not a point of the curve',
    )
  }
  assert.ok(points > 15 && points < 45)
  for (let round = 0; round < 50; round++) {
    const { x } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' })
    assert.equal(describeBadEd25519Point(Buffer.from(x ?? '', 'base64url')), undefined)
  }
  for (const length of [0, 31, 33, 64])
    assert.match(describeBadEd25519Point(Buffer.alloc(length)) ?? '', /32 bytes/)
})
