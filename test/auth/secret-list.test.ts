import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configuredSecrets } from '../../src/auth/configured-secrets.ts'
import { parseSecretList } from '../../src/auth/secret-list.ts'

const one = 'hXn0mP3sYk7qVw2dRb9tLc5eFg8jZa4u'
const two = 'q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more'
const withColon = 'q8Zr4:v1Kx9:ThIs:Is:32:bytes:or:more='

test('secrets come in their order, white space around them left aside', () => {
  assert.deepEqual(parseSecretList(`2:${two},1:${one}`), { ok: true, secrets: [two, one] })
  assert.deepEqual(parseSecretList(`0:${one}`), { ok: true, secrets: [one] })
  assert.deepEqual(parseSecretList(` 7 : ${two} ,\n12:${one}\n`), { ok: true, secrets: [two, one] })
})

test('a secret may have colons in it', () => {
  assert.deepEqual(parseSecretList(`1:${withColon}`), { ok: true, secrets: [withColon] })
})

test('what Better Auth refuses, or reads only in part, is refused', () => {
  for (const [text, problem] of [
    [one, /entry 1: must be a version number, a colon/],
    [`1:${one},`, /entry 2: must be a version number, a colon/],
    [`:${one}`, /entry 1: the version/],
    [`-1:${one}`, /entry 1: the version/],
    [`2x:${one}`, /entry 1: the version/],
    [`1.5:${one}`, /entry 1: the version/],
    [`1:${one},01:${two}`, /entry 2: the version is there twice/],
    ['1:', /entry 1: The secret is 0 bytes/],
    [`2:${one},1:short`, /entry 2: The secret is 5 bytes/],
    ['1:better-auth-secret-12345678901234567890', /entry 1: .*well-known/],
  ] as const) {
    const list = parseSecretList(text)
    assert.ok(!list.ok, text)
    assert.match(list.problems.join('\n'), problem)
    assert.ok(!list.problems.join().includes(one))
  }
})

const none = { secret: undefined, secrets: [], issuer: undefined, dataDir: '/nowhere' }

test('the first of the list signs, and the single secret verifies after it', () => {
  assert.deepEqual(configuredSecrets({ ...none, secret: one }), [one])
  assert.deepEqual(configuredSecrets({ ...none, secrets: [two, withColon], secret: one }), [
    two,
    withColon,
    one,
  ])
  assert.deepEqual(configuredSecrets({ ...none, secrets: [two, one], secret: one }), [two, one])
})

test('with an issuer and no secret there is none, and none is made', () => {
  assert.deepEqual(configuredSecrets({ ...none, issuer: {} }), [])
})
