import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VerifiedTokenCache } from '../../src/auth/verified-token-cache.ts'
import { createVerifier } from '../../src/auth/verifier.ts'
import { goodHeader, nowMs, nowS, secret, sign } from './tokens.ts'

const farAway = { userId: 'user-1', expiresAtS: nowS + 3600 }

test('an entry is there for 60 s and not longer', () => {
  const cache = new VerifiedTokenCache(10)
  cache.set('key', farAway, nowMs)
  assert.deepEqual(cache.get('key', nowMs), farAway)
  assert.deepEqual(cache.get('key', nowMs + 59_999), farAway)
  assert.equal(cache.get('key', nowMs + 60_000), undefined)
})

test('an entry is there until its token expires and not longer', () => {
  const cache = new VerifiedTokenCache(10)
  const soon = { userId: 'user-1', expiresAtS: nowS + 7 }
  cache.set('key', soon, nowMs)
  assert.deepEqual(cache.get('key', nowMs + 6_999), soon)
  assert.equal(cache.get('key', nowMs + 7_000), undefined)
})

test('a token that has expired within the tolerance is not kept', () => {
  const cache = new VerifiedTokenCache(10)
  cache.set('key', { userId: 'user-1', expiresAtS: nowS }, nowMs)
  assert.equal(cache.size, 0)
})

test('a token that is verified again after its time is there for another 60 s', () => {
  const cache = new VerifiedTokenCache(10)
  cache.set('key', farAway, nowMs)
  cache.set('key', farAway, nowMs + 61_000)
  assert.deepEqual(cache.get('key', nowMs + 120_000), farAway)
})

test('it never holds more than its capacity, and the latest half is always there', () => {
  const cache = new VerifiedTokenCache(100)
  for (let index = 0; index < 1000; index++) {
    cache.set(`key-${index}`, farAway, nowMs)
    assert.ok(cache.size <= 100)
    for (let age = 0; age < Math.min(50, index); age++) {
      assert.ok(cache.get(`key-${index - age}`, nowMs) !== undefined)
    }
  }
  assert.equal(cache.get('key-0', nowMs), undefined)
})

test('a key that is set again and again takes one place', () => {
  const cache = new VerifiedTokenCache(4)
  cache.set('other', farAway, nowMs)
  for (let index = 0; index < 10; index++) cache.set('key', farAway, nowMs)
  assert.equal(cache.size, 2)
  assert.deepEqual(cache.get('other', nowMs), farAway)
})

test('a capacity below 2, or none at all, keeps nothing', () => {
  for (const capacity of [1, 0, -1, Number.NaN]) {
    const cache = new VerifiedTokenCache(capacity)
    for (let index = 0; index < 10; index++) cache.set(`key-${index}`, farAway, nowMs)
    assert.equal(cache.size, 0)
  }
})

test('clear forgets everything, old entries too', () => {
  const cache = new VerifiedTokenCache(4)
  for (let index = 0; index < 3; index++) cache.set(`key-${index}`, farAway, nowMs)
  assert.equal(cache.size, 3)
  cache.clear()
  assert.equal(cache.size, 0)
  assert.equal(cache.get('key-0', nowMs), undefined)
})

test('the key of a token is its SHA-256', () => {
  const key = new VerifiedTokenCache(2).keyOf('abc')
  assert.equal(
    Buffer.from(key, 'base64url').toString('hex'),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  )
})

test('a token in the cache is refused as soon as it has expired', () => {
  let now = nowMs
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 0, nowMs: () => now })
  const token = sign(goodHeader, { sub: 'user-1', exp: nowS + 30 })
  const good = { ok: true, userId: 'user-1', expiresAtS: nowS + 30 }
  assert.deepEqual(verifier.verify(token), good)
  assert.deepEqual(verifier.verify(token), good)
  now += 29_999
  assert.deepEqual(verifier.verify(token), good)
  now += 1
  const result = verifier.verify(token)
  assert.ok(!(result instanceof Promise) && !result.ok)
  assert.equal(result.code, 'TOKEN_EXPIRED')
})

test('a token in the cache is not verified again', () => {
  for (const [cacheSize, isRemembered] of [
    [10, true],
    [0, false],
  ] as const) {
    let now = nowMs
    const verifier = createVerifier({ secrets: [secret], clockToleranceS: 0, nowMs: () => now, cacheSize })
    const token = sign(goodHeader, { sub: 'user-1', iat: nowS, exp: nowS + 900 })
    verifier.verify(token)
    // On a clock that was set back, only a verification can tell that iat is in the future.
    now -= 100_000
    const result = verifier.verify(token)
    assert.ok(!(result instanceof Promise))
    assert.equal(result.ok, isRemembered)
  }
})

test('a failure is not remembered: a token that was too early is accepted in time', () => {
  let now = nowMs
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 0, nowMs: () => now })
  const token = sign(goodHeader, { sub: 'user-1', nbf: nowS + 10, exp: nowS + 900 })
  const early = verifier.verify(token)
  assert.ok(!(early instanceof Promise) && !early.ok)
  now += 10_000
  assert.deepEqual(verifier.verify(token), { ok: true, userId: 'user-1', expiresAtS: nowS + 900 })
})

test('a good token in the cache does not let a damaged one in', () => {
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 5, nowMs: () => nowMs })
  const token = sign(goodHeader, { sub: 'user-1', exp: nowS + 900 })
  for (let round = 0; round < 2; round++) {
    const good = verifier.verify(token)
    assert.ok(!(good instanceof Promise) && good.ok)
    for (const damaged of [`${token}A`, token.slice(0, -1), token.toLowerCase(), ` ${token}`]) {
      const bad = verifier.verify(damaged)
      assert.ok(!(bad instanceof Promise) && !bad.ok)
    }
  }
})

test('what a caller does to an answer does not change the next one', () => {
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 5, nowMs: () => nowMs })
  const token = sign(goodHeader, { sub: 'user-1', exp: nowS + 900 })
  for (let round = 0; round < 3; round++) {
    const result = verifier.verify(token)
    assert.ok(!(result instanceof Promise) && result.ok)
    assert.equal(result.userId, 'user-1')
    Object.assign(result, { userId: 'user-2' })
  }
})

test('with a cache of 0 everything is verified anew and nothing changes', () => {
  const verifier = createVerifier({ secrets: [secret], clockToleranceS: 5, nowMs: () => nowMs, cacheSize: 0 })
  const token = sign(goodHeader, { sub: 'user-1', exp: nowS + 900 })
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(verifier.verify(token), { ok: true, userId: 'user-1', expiresAtS: nowS + 900 })
  }
})
