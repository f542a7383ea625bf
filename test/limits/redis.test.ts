import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { after, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { createClient } from '@redis/client'
import type { Allowance, RateLimiter } from '../../src/limits/rate-limiter.ts'
import { openRateLimits } from '../../src/limits/rate-limits.ts'
import type { RedisEvent } from '../../src/limits/redis-buckets.ts'
import { newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { addressOf, eventually, startService } from '../support/process.ts'
import { noRedis, type Redis, startRedis } from '../support/redis.ts'

/** The limits of one instance, which is connected. It waits as long as a slow machine needs, unless Redis is to stall. */
async function openInstance(redis: Redis, redisTimeoutMs = 15_000) {
  const events: RedisEvent['type'][] = []
  const limits = await openRateLimits({
    perMinute: 0,
    redisUrl: redis.url,
    onRedisEvent: ({ type }) => events.push(type),
    redisTimeoutMs,
  })
  after(() => limits.close())
  // Its interval is so long that nothing becomes free while the test runs.
  const limiterOf = (requests: number) =>
    limits.createLimiter({ name: randomUUID(), requests, windowS: requests * 3_600 })
  await eventually(async () => events.includes('connected'))
  return { limits, events, limiterOf }
}

async function allowedOf(taken: readonly (Allowance | Promise<Allowance>)[]): Promise<number> {
  return (await Promise.all(taken)).filter(({ allowed }) => allowed).length
}

/** Asks until Redis answers again: asking is what makes it connect. */
const untilShared = (limiter: RateLimiter) =>
  eventually(async () => {
    const taken = limiter.take(randomUUID())
    await taken
    return taken instanceof Promise
  })

describe('with a Redis', { skip: noRedis }, async () => {
  const redis = noRedis ? undefined : await startRedis()
  if (redis === undefined) return
  after(() => redis.stop())

  test('instances have one bucket together, also when they race', async () => {
    const [one, two] = [await openInstance(redis), await openInstance(redis)]
    const quota = { name: randomUUID(), requests: 50, windowS: 36_000 }
    const limiters = [one.limits.createLimiter(quota), two.limits.createLimiter(quota)]
    const taken = Array.from({ length: 200 }, (_, n) => limiters[n % 2]?.take('a') ?? assert.fail())
    assert.equal(await allowedOf(taken), 50)
    const left = await limiters[1]?.take('a')
    assert.deepEqual([left?.allowed, left?.remaining], [false, 0])
    assert.ok(left?.nextS !== undefined && left.nextS > 600 && left.nextS <= 720)
    assert.equal((await limiters[0]?.take('b'))?.remaining, 49)
  })

  test('a bucket is kept until it is full, and no longer', async () => {
    const { limits } = await openInstance(redis)
    const name = randomUUID()
    await limits.createLimiter({ name, requests: 10, windowS: 1_000 }).take('a')
    const client = createClient({ url: redis.url })
    await client.connect()
    const left = await client.pTTL(`backend-core:rate-limit:${name}:a`)
    client.destroy()
    assert.ok(left > 0 && left <= 100_000, `${left}`)
  })

  test('keys of any text are buckets of their own', async () => {
    const limiter = (await openInstance(redis)).limiterOf(1)
    const keys = ['é', 'e\u0301', '用户', 'a b', 'a\r\nGET x', '"', '{a}', 'x'.repeat(255), 'x'.repeat(254)]
    for (const key of keys) assert.equal((await limiter.take(key)).allowed, true, key)
    for (const key of keys) assert.equal((await limiter.take(key)).allowed, false, key)
  })

  test('a Redis that has forgotten the script is given it again', async () => {
    const { limiterOf, events } = await openInstance(redis)
    const limiter = limiterOf(3)
    await limiter.take('a')
    const client = createClient({ url: redis.url })
    await client.connect()
    await client.sendCommand(['SCRIPT', 'FLUSH'])
    client.destroy()
    assert.equal((await limiter.take('a')).remaining, 1)
    assert.deepEqual(events, ['connected'])
  })

  test('a token that fails at one instance counts at all of them', async () => {
    const testDatabase = await createTestDatabase()
    const quota = { name: randomUUID(), requests: 3, windowS: 36_000 }
    const [one, two] = await Promise.all(
      [await openInstance(redis), await openInstance(redis)].map(({ limits }) =>
        startApp({ testDatabase, limits: { failedTokens: limits.createLimiter(quota) } }),
      ),
    )
    after(() => testDatabase.drop())
    for (let count = 0; count < 3; count++) {
      assert.equal((await one?.anonymous('Bearer x').get('/api/me/tasks'))?.status, 401)
    }
    assert.equal((await one?.anonymous('Bearer x').get('/api/me/tasks'))?.status, 429)
    assert.equal((await two?.anonymous('Bearer x').get('/api/me/tasks'))?.status, 429)
  })

  test('while Redis stalls, each instance counts by itself, and nobody waits; then it is used again', async () => {
    const { limiterOf, events } = await openInstance(redis, 1_000)
    const limiter = limiterOf(10)
    assert.equal((await limiter.take('a')).remaining, 9)
    redis.stall()
    try {
      // It is answered though Redis still stalls.
      assert.equal(await allowedOf([limiter.take('a'), limiter.take('a'), limiter.take('a')]), 3)
      for (let left = 5; left >= 0; left--) {
        const taken = limiter.take('a')
        assert.ok(!(taken instanceof Promise), 'what is known to stall is not asked')
        assert.equal(taken.remaining, left, 'the count goes on')
      }
      assert.equal((await limiter.take('a')).allowed, false)
      assert.deepEqual(events, ['connected', 'away'])
    } finally {
      redis.resume()
    }
    await untilShared(limiter)
    assert.deepEqual(events, ['connected', 'away', 'connected'])
  })

  test('while Redis is killed and started again, requests are served, and each change is told once', async () => {
    const { limiterOf, events } = await openInstance(redis)
    const service = await startApp({ limits: { user: limiterOf(1_000) } })
    const users = Array.from({ length: 10 }, () => service.as(newUser()))
    const seen = new Set<number>()
    let going = true
    const asking = users.map(async (user) => {
      while (going) seen.add((await user.get('/api/me/tasks')).status)
    })
    await redis.kill()
    await eventually(async () => events.length === 2)
    await redis.start()
    await eventually(async () => events.length === 3)
    going = false
    await Promise.all(asking)
    assert.deepEqual([...seen], [200])
    assert.deepEqual(events, ['connected', 'away', 'connected'])
  })

  test('the service counts in Redis by RATE_LIMIT_REDIS_URL, goes on without it, says so once, and stops cleanly', async () => {
    const testDatabase = await createTestDatabase()
    after(() => testDatabase.drop())
    const service = await startService({
      DATABASE_URL: addressOf(testDatabase.connection),
      BETTER_AUTH_SECRET: 'q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more',
      RATE_LIMIT_REDIS_URL: redis.url,
    })
    const [counted, away] = [
      'rate limits are counted in Redis',
      'Redis is away; this instance counts rate limits by itself',
    ]
    const messages = () =>
      service
        .stdout()
        .split('\n')
        .filter((line) => line.includes('Redis'))
        .map((line): unknown => JSON.parse(line).msg)
    const guess = async () => {
      const headers = { authorization: 'Bearer x' }
      assert.equal((await fetch(`${service.url}/api/me/tasks`, { headers })).status, 401)
    }
    const client = createClient({ url: redis.url })
    await client.connect()
    await eventually(async () => {
      await guess()
      return (await client.exists('backend-core:rate-limit:address:127.0.0.1')) === 1
    })
    client.destroy()
    await redis.kill()
    await eventually(async () => {
      await guess()
      return messages().at(-1) === away
    })
    for (const [index, message] of messages().entries()) {
      assert.equal(message, index % 2 === 0 ? counted : away, 'each change is told once')
    }
    const { code, stderr } = await service.end('SIGTERM')
    assert.deepEqual([code, stderr], [0, ''])
    await redis.start()
  })
})

test('without a Redis at the address, each instance counts by itself from the start, tries on, and says so once', async () => {
  let connections = 0
  const other = createServer((socket) => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  after(() => other.close())
  const address = other.address()
  assert.ok(typeof address === 'object' && address !== null)
  const events: RedisEvent[] = []
  const limits = await openRateLimits({
    perMinute: 2,
    redisUrl: `redis://:password@127.0.0.1:${address.port}`,
    onRedisEvent: (event) => events.push(event),
  })
  after(() => limits.close())
  const allowed = [limits.user?.take('a'), limits.user?.take('a'), limits.user?.take('a')]
  assert.deepEqual(
    allowed.map((each) => (each instanceof Promise ? 'waits' : each?.allowed)),
    [true, true, false],
  )
  await eventually(async () => {
    limits.user?.take('b')
    return connections >= 3
  })
  assert.deepEqual(
    events.map(({ type }) => type),
    ['away'],
  )
  for (const event of events) assert.doesNotMatch(inspect(event), /password/)
})
