import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BucketStore } from '../../src/limits/bucket-store.ts'
import { createRateLimiter, type Quota, type SharedBuckets } from '../../src/limits/rate-limiter.ts'

const secondUs = 1_000_000

/** A limiter with a clock that the test moves. */
function withClock(quota: Partial<Quota>, options: { capacity?: number; shared?: SharedBuckets } = {}) {
  const clock = { us: 5_000 * secondUs }
  const limiter = createRateLimiter(
    { name: 'test', requests: 3, windowS: 60, ...quota },
    { nowUs: () => clock.us, ...options },
  )
  return {
    limiter,
    take: (key: string) => {
      const left = limiter.take(key)
      if (left instanceof Promise) throw new Error('It is shared')
      return left
    },
    pass(seconds: number) {
      clock.us += seconds * secondUs
    },
  }
}

test('the whole quota may come at once, and no more', () => {
  for (const requests of [1, 2, 3, 7, 59, 1_200, 999_983, 1_000_000]) {
    const { take } = withClock({ requests })
    for (let left = requests - 1; left >= Math.max(0, requests - 2_000); left--) {
      const { allowed, remaining } = take('a')
      if (!allowed || remaining !== left)
        assert.fail(`${requests}: ${allowed} ${remaining} in place of ${left}`)
    }
    if (requests <= 2_000) assert.deepEqual([take('a').allowed, take('a').remaining], [false, 0])
  }
})

test('a refused request says when the next becomes free, and it is free then and not before', () => {
  const { take, pass } = withClock({ requests: 3, windowS: 60 })
  for (let count = 0; count < 3; count++) take('a')
  assert.deepEqual(take('a'), { allowed: false, remaining: 0, nextS: 20 })
  pass(19)
  assert.deepEqual(take('a'), { allowed: false, remaining: 0, nextS: 1 })
  pass(1)
  assert.deepEqual(take('a'), { allowed: true, remaining: 0, nextS: 20 })
  assert.equal(take('a').allowed, false)
})

test('refused requests cost nothing: whoever hammers on is served as soon as whoever waits', () => {
  const { take, pass } = withClock({ requests: 2, windowS: 2 })
  take('a')
  take('a')
  for (let count = 0; count < 100; count++) assert.equal(take('a').allowed, false)
  pass(1)
  assert.equal(take('a').allowed, true)
})

test('time fills the bucket one by one, up to the quota', () => {
  const { take, pass, limiter } = withClock({ requests: 3, windowS: 60 })
  assert.deepEqual(limiter.peek('a'), { allowed: true, remaining: 3, nextS: 0 })
  for (let count = 0; count < 3; count++) take('a')
  pass(20)
  assert.equal(limiter.peek('a').remaining, 1)
  pass(39)
  assert.deepEqual(limiter.peek('a'), { allowed: true, remaining: 2, nextS: 1 })
  pass(1)
  assert.equal(limiter.peek('a').remaining, 3)
  pass(1_000_000)
  assert.deepEqual(limiter.peek('a'), { allowed: true, remaining: 3, nextS: 0 })
})

test('a look takes nothing', () => {
  const { take, limiter } = withClock({ requests: 1 })
  for (let count = 0; count < 3; count++) assert.equal(limiter.peek('a').allowed, true)
  take('a')
  for (let count = 0; count < 3; count++) assert.equal(limiter.peek('a').allowed, false)
})

test('each key has its own bucket', () => {
  const { take } = withClock({ requests: 1 })
  assert.equal(take('a').allowed, true)
  assert.equal(take('b').allowed, true)
  assert.equal(take('a').allowed, false)
})

test('over any time, no more is let through than the quota and what became free meanwhile', () => {
  const steps = fc.array(fc.tuple(fc.nat(40), fc.nat(5)), { maxLength: 60 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), steps, (requests, moves) => {
      const { take, pass } = withClock({ requests, windowS: 60 })
      const served: number[] = []
      let now = 0
      for (const [seconds, count] of moves) {
        pass(seconds)
        now += seconds
        for (let n = 0; n < count; n++) if (take('a').allowed) served.push(now)
      }
      for (const [index, from] of served.entries()) {
        for (const [last, to] of served.entries()) {
          if (last < index) continue
          assert.ok(last - index + 1 <= requests + ((to - from) * requests) / 60 + 0.001)
        }
      }
    }),
  )
})

test('many keys do not grow the memory, and those used last are kept', () => {
  const { take } = withClock({ requests: 1 }, { capacity: 1_000 })
  const store = new BucketStore(1_000, 60 * secondUs)
  for (let count = 0; count < 100_000; count++) {
    take(`attacker ${count}`)
    store.set(`attacker ${count}`, 1, 5_000 * secondUs)
    assert.ok(store.size <= 1_000)
  }
  assert.equal(take('attacker 99999').allowed, false)
  assert.equal(take('attacker 99600').allowed, false)
  assert.equal(take('attacker 98000').allowed, true, 'pushed out')
})

test('a bucket is not forgotten before it is full, however the generations turn', () => {
  for (const writtenAtS of [0, 1, 30, 59, 60]) {
    const store = new BucketStore(1_000, 60 * secondUs)
    const [start, fullAtUs] = [1_000 * secondUs, 5_000 * secondUs]
    for (let second = 0; second < writtenAtS + 60; second++) {
      const now = start + second * secondUs
      if (second === writtenAtS) store.set('a', fullAtUs, now)
      else store.set(`other ${second}`, fullAtUs, now)
      if (second >= writtenAtS) assert.equal(store.get('a'), fullAtUs, `${writtenAtS}: after ${second} s`)
    }
  }
})

test('what was not used for a window is dropped without a timer', () => {
  const store = new BucketStore(1_000, 60 * secondUs)
  for (let count = 0; count < 400; count++) store.set(`${count}`, 1, 100 * secondUs)
  store.set('a', 1, 161 * secondUs)
  store.set('a', 1, 222 * secondUs)
  assert.equal(store.size, 2, 'a in both generations')
})

test('shared buckets decide, and when they are lost the count goes on from what they said', async () => {
  let reachable: boolean | undefined = true
  const asked: unknown[] = []
  const shared: SharedBuckets = {
    take(key, intervalUs, periodUs) {
      asked.push([key, intervalUs, periodUs])
      if (reachable === undefined) return undefined
      return Promise.resolve(reachable ? { allowed: true, backlogUs: 50 * secondUs } : undefined)
    },
  }
  const { limiter } = withClock({ requests: 6, windowS: 60 }, { shared })
  assert.deepEqual(await limiter.take('a'), { allowed: true, remaining: 1, nextS: 10 })
  assert.deepEqual(asked, [['test:a', 10 * secondUs, 60 * secondUs]])
  assert.equal(limiter.peek('a').remaining, 1)
  reachable = false
  assert.deepEqual(await limiter.take('a'), { allowed: true, remaining: 0, nextS: 10 }, 'lost meanwhile')
  reachable = undefined
  const left = limiter.take('a')
  assert.ok(!(left instanceof Promise), 'known to be lost: nobody waits')
  assert.deepEqual(left, { allowed: false, remaining: 0, nextS: 10 })
})
