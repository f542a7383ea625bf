import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JwksError, KnownKeys } from '../../src/auth/known-keys.ts'
import { makeSigner } from './signers.ts'

const none = new KnownKeys([])
const ed = makeSigner('EdDSA', 'ed').jwk
const es = makeSigner('ES256', 'es').jwk
const { alg: _, ...rsaWithoutAlg } = makeSigner('RS256', 'rsa').jwk

function keysOf(...jwks: unknown[]): KnownKeys {
  return none.replaceWith({ keys: jwks }).keys
}

test('a key is found by its name and one of its algorithms', () => {
  const keys = keysOf(ed, es, rsaWithoutAlg)
  assert.equal(keys.find('EdDSA', 'ed')?.kid, 'ed')
  assert.equal(keys.find('Ed25519', 'ed')?.kid, 'ed')
  assert.equal(keys.find('ES256', 'es')?.kid, 'es')
  for (const alg of ['RS256', 'PS512']) assert.equal(keys.find(alg, 'rsa')?.kid, 'rsa')
  for (const [alg, kid] of [
    ['ES256', 'ed'],
    ['EdDSA', 'es'],
    ['ES384', 'es'],
    ['EdDSA', 'ED'],
    ['EdDSA', 'ed '],
    ['EdDSA', ''],
    ['EdDSA', '__proto__'],
    ['EdDSA', 'constructor'],
  ] as const) {
    assert.equal(keys.find(alg, kid), undefined)
  }
})

test('a token without kid is checked with the only key of its algorithm, and with none of several', () => {
  assert.equal(keysOf(ed, es).find('EdDSA', undefined)?.kid, 'ed')
  assert.equal(keysOf(ed, es).find('RS256', undefined), undefined)
  assert.equal(keysOf(ed, { ...ed, kid: 'other' }).find('EdDSA', undefined), undefined)
  const { kid: _kid, ...nameless } = ed
  assert.equal(keysOf(nameless, es).find('EdDSA', undefined)?.kid, undefined)
  assert.equal(keysOf(nameless, es).find('EdDSA', undefined)?.algorithms.has('EdDSA'), true)
})

test('a key without a name is not found by any', () => {
  const { kid: _kid, ...nameless } = ed
  for (const kid of ['', 'undefined', 'ed']) assert.equal(keysOf(nameless).find('EdDSA', kid), undefined)
})

test('keys that cannot be used are left out with the reason, and the others stay', () => {
  const { keys, refused } = none.replaceWith({
    keys: [{ kty: 'oct', k: 'AAAA' }, ed, null, { ...es, use: 'enc' }],
  })
  assert.equal(keys.size, 1)
  assert.equal(keys.find('EdDSA', 'ed')?.kid, 'ed')
  assert.deepEqual(refused, ['it is symmetric', 'it is not an object', '"use" is not sig'])
})

test('of two keys with the same name and algorithm the first one counts; with other algorithms both do', () => {
  const other = makeSigner('EdDSA', 'ed').jwk
  const { keys, refused } = none.replaceWith({ keys: [ed, other, { ...es, kid: 'ed' }] })
  assert.deepEqual(refused, ['another key before it has the same "kid" and algorithm'])
  assert.equal(keys.find('EdDSA', 'ed'), keys.replaceWith({ keys: [ed] }).keys.find('EdDSA', 'ed'))
  assert.equal(keys.find('ES256', 'ed')?.algorithms.has('ES256'), true)
})

test('what is no JWKS, or has more than 500 keys, is refused as a whole', () => {
  for (const document of [
    undefined,
    null,
    [],
    'keys',
    1,
    {},
    { keys: null },
    { keys: {} },
    { keys: 'x' },
    [ed],
  ]) {
    assert.throws(() => none.replaceWith(document), JwksError)
  }
  const { kid: _kid, ...nameless } = ed
  const many = (count: number) => ({
    keys: Array.from({ length: count }, (_, index) => ({ ...nameless, kid: `${index}` })),
  })
  assert.throws(() => none.replaceWith(many(501)), /more than 500 keys/)
  assert.equal(none.replaceWith(many(500)).keys.size, 500)
})

test('a key that was known is taken over; changes are counted', () => {
  const before = keysOf(ed, es)
  const after = before.replaceWith({ keys: [es, { ...ed, use: 'sig' }, rsaWithoutAlg] }).keys
  assert.equal(after.find('EdDSA', 'ed'), before.find('EdDSA', 'ed'))
  assert.deepEqual([before.countMissing(after), after.countMissing(before)], [1, 0])
  const replaced = before.replaceWith({ keys: [makeSigner('EdDSA', 'ed').jwk, es] }).keys
  assert.notEqual(replaced.find('EdDSA', 'ed'), before.find('EdDSA', 'ed'))
  assert.deepEqual([before.countMissing(replaced), replaced.countMissing(before)], [1, 1])
})

test('the same key with another algorithm is another key', () => {
  const before = keysOf({ ...rsaWithoutAlg, alg: 'RS256' })
  const after = before.replaceWith({ keys: [{ ...rsaWithoutAlg, alg: 'PS256' }] }).keys
  assert.equal(after.find('RS256', 'rsa'), undefined)
  assert.equal(after.find('PS256', 'rsa')?.kid, 'rsa')
})
