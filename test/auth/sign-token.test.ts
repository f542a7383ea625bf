import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import { assertAccepted, assertRefused, check, nowMs, nowS, secret } from './tokens.ts'

test('a signed token is accepted, and expires after 8 hours', () => {
  const token = signToken({ secret, userId: 'user-1', nowMs })
  assert.deepEqual(check(token), { ok: true, userId: 'user-1', expiresAtS: nowS + 8 * 3600 })
})

test('it has the header and claims of a front end with the shared secret', () => {
  const [header = '', claims = ''] = signToken({ secret, userId: 'user-1', nowMs, expiresInS: 60 }).split('.')
  assert.deepEqual(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: 'HS256', typ: 'JWT' })
  assert.deepEqual(JSON.parse(Buffer.from(claims, 'base64url').toString()), {
    sub: 'user-1',
    iat: nowS,
    exp: nowS + 60,
  })
})

test('the time is now by default', () => {
  const [, claims = ''] = signToken({ secret, userId: 'user-1' }).split('.')
  const { iat } = JSON.parse(Buffer.from(claims, 'base64url').toString())
  assert.ok(Math.abs(iat - Date.now() / 1000) < 60)
})

test('a negative lifetime makes an expired token', () => {
  assertRefused(
    signToken({ secret, userId: 'user-1', nowMs, expiresInS: -6 }),
    /"exp" has passed/,
    'TOKEN_EXPIRED',
  )
})

test('ids of any script are signed as they are', () => {
  for (const userId of ['жук', '用户', 'ünï', '💡', 'a b', 'a/b?c#d%', "'; drop table tasks"]) {
    assertAccepted(signToken({ secret, userId, nowMs }), userId)
  }
})

test('an id that the service would refuse is not signed', () => {
  for (const userId of ['', 'a\0', '\ud800', 'x'.repeat(256)]) {
    assert.throws(() => signToken({ secret, userId }), RangeError)
  }
})
