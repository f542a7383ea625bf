import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import { createRateLimiter } from '../../src/limits/rate-limiter.ts'
import { assertError } from '../support/answers.ts'
import { type Answer, makeTask, newUser, startApp, testSecret } from '../support/app.ts'

/** So long that nothing becomes free while the tests run. */
const windowS = 36_000
const limits = {
  user: createRateLimiter({ name: 'user', requests: 4, windowS }),
  failedTokens: createRateLimiter({ name: 'address', requests: 3, windowS }),
}
/** Each test has users and addresses of its own; the proxy that names them is the test. */
const service = await startApp({ limits, trustProxy: ['loopback'] })

let lastAddress = 0
const newAddress = () => ({ 'x-forwarded-for': `203.0.113.${++lastAddress}` })

/** Asserts what the two headers say. */
function assertLimit(answer: Answer, name: 'user' | 'address', remaining: number): void {
  const requests = name === 'user' ? 4 : 3
  assert.equal(answer.headers.get('ratelimit-policy'), `"${name}";q=${requests};w=${windowS}`)
  const [, left, nextS] =
    new RegExp(`^"${name}";r=(\\d+);t=(\\d+)$`).exec(answer.headers.get('ratelimit') ?? '') ?? []
  assert.equal(left, String(remaining))
  assert.ok(Number(nextS) >= 0 && Number(nextS) <= windowS)
}

function assertRefused(answer: Answer, name: 'user' | 'address'): void {
  assertError(answer, 429, 'RATE_LIMITED')
  assertLimit(answer, name, 0)
  const seconds = Number(answer.headers.get('retry-after'))
  assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= windowS / 3)
  assert.match(answer.headers.get('ratelimit') ?? '', new RegExp(`;t=${seconds}$`))
}

async function useUp(address: Record<string, string>): Promise<void> {
  const guessing = service.anonymous('Bearer guessed')
  for (let left = 2; left >= 0; left--) {
    const answer = await guessing.get('/api/me/tasks', address)
    assertError(answer, 401, 'TOKEN_INVALID')
    assertLimit(answer, 'address', left)
  }
  assertRefused(await guessing.get('/api/me/tasks', address), 'address')
}

test('every answer to a user counts and says what is left, errors too; one too many is RATE_LIMITED', async () => {
  const user = service.as(newUser())
  const answers = [
    await user.get('/api/me/tasks'),
    await user.get('/api/someone-else/tasks'),
    await user.get('/api/me/nothing'),
    await user.post('/api/me/tasks', { title: '' }),
  ]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 403, 404, 422],
  )
  for (const [index, answer] of answers.entries()) assertLimit(answer, 'user', 3 - index)
  assertRefused(await user.get('/api/me/tasks'), 'user')
  assertRefused(await user.request('POST', '/api/me/tasks', { raw: '{', headers: {} }), 'user')
})

test('201, 304, 405, 413 and HEAD count and tell as well', async () => {
  const first = service.as(newUser())
  const created = await first.post('/api/me/tasks', { title: 'x' })
  assertLimit(created, 'user', 3)
  const fresh = await first.get(created.headers.get('location') ?? '', {
    'if-none-match': created.headers.get('etag') ?? '',
  })
  assert.equal(fresh.status, 304)
  assertLimit(fresh, 'user', 2)
  const second = service.as(newUser())
  assertLimit(await second.delete('/api/me/tasks'), 'user', 3)
  const large = await second.post('/api/me/tasks', { title: 'x'.repeat(1_100_000) })
  assert.equal(large.status, 413)
  assertLimit(large, 'user', 2)
  assertLimit(await second.request('HEAD', '/api/me/tasks'), 'user', 1)
})

test('the limit is of the user, whatever token or address is used', async () => {
  const userId = newUser()
  for (let count = 0; count < 4; count++) {
    const token = signToken({ secret: testSecret, userId, expiresInS: 600 + count })
    assert.equal((await service.anonymous(`Bearer ${token}`).get('/api/me/tasks', newAddress())).status, 200)
  }
  assertRefused(await service.as(userId).get('/api/me/tasks', newAddress()), 'user')
  const other = await service.as(newUser()).get('/api/me/tasks')
  assertLimit(other, 'user', 3)
})

test('an address with too many failed tokens is refused, with a good token that was not seen before too', async () => {
  const address = newAddress()
  await useUp(address)
  assertRefused(await service.as(newUser()).get('/api/me/tasks', address), 'address')
  assertRefused(await service.anonymous().get('/api/me/tasks', address), 'address')
  assert.equal((await service.as(newUser()).get('/api/me/tasks', newAddress())).status, 200)
})

test('others behind an address that is used up go on: their tokens were verified a short while ago', async () => {
  const address = newAddress()
  const user = service.as(newUser())
  await makeTask(user)
  await useUp(address)
  const answer = await user.get('/api/me/tasks', address)
  assert.equal(answer.status, 200)
  assertLimit(answer, 'user', 2)
  const damaged = service.anonymous(`Bearer ${user.token}x`)
  assertRefused(await damaged.get('/api/me/tasks', address), 'address')
})

test('a token that has expired counts; good tokens and requests without one do not', async () => {
  const address = newAddress()
  const expired = signToken({ secret: testSecret, userId: newUser(), expiresInS: -60 })
  const answer = await service.anonymous(`Bearer ${expired}`).get('/api/me/tasks', address)
  assertError(answer, 401, 'TOKEN_EXPIRED')
  assertLimit(answer, 'address', 2)
  for (let count = 0; count < 5; count++) {
    assert.equal((await service.as(newUser()).get('/api/me/tasks', address)).status, 200)
    const missing = await service.anonymous().get('/api/me/tasks', address)
    assertError(missing, 401, 'TOKEN_MISSING')
    assertLimit(missing, 'address', 2)
  }
})

test('an IPv6 address counts with its /64, and not with the next one', async () => {
  for (const last of ['1', '2:3:4:5', 'ffff:ffff:ffff:ffff']) {
    const address = { 'x-forwarded-for': `2001:db8:0:7:${last}`.replace(/7:(\d)$/, '7::$1') }
    assertError(await service.anonymous('Bearer x').get('/api/me/tasks', address), 401, 'TOKEN_INVALID')
  }
  const refused = { 'x-forwarded-for': '2001:db8:0:7::abcd' }
  assertRefused(await service.anonymous('Bearer x').get('/api/me/tasks', refused), 'address')
  const next = { 'x-forwarded-for': '2001:db8:0:8::1' }
  assertError(await service.anonymous('Bearer x').get('/api/me/tasks', next), 401, 'TOKEN_INVALID')
})

test('what is outside /api has no limit and no header of one', async () => {
  for (const path of ['/health', '/ready', '/openapi.json', '/docs', '/nothing']) {
    for (let count = 0; count < 6; count++) {
      const answer = await service.anonymous('Bearer x').get(path)
      assert.notEqual(answer.status, 429)
      assert.equal(answer.headers.get('ratelimit'), null)
      assert.equal(answer.headers.get('ratelimit-policy'), null)
    }
  }
})

test('without limits there is no header of one, and everything is served', async () => {
  const unlimited = await startApp()
  const user = unlimited.as(newUser())
  for (let count = 0; count < 6; count++) {
    const good = await user.get('/api/me/tasks')
    const bad = await unlimited.anonymous('Bearer x').get('/api/me/tasks')
    assert.deepEqual([good.status, bad.status], [200, 401])
    for (const { headers } of [good, bad]) assert.equal(headers.get('ratelimit'), null)
  }
})

test('racing requests of a user take what there is and no more', async () => {
  const user = service.as(newUser())
  const answers = await Promise.all(Array.from({ length: 20 }, () => user.get('/api/me/tasks')))
  assert.equal(answers.filter(({ status }) => status === 200).length, 4)
  assert.equal(answers.filter(({ status }) => status === 429).length, 16)
})
