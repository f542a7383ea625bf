import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { AskedBuckets, type Asks, KeptBuckets } from '../../src/limits/asked-buckets.ts'
import { createRateLimiter } from '../../src/limits/rate-limiter.ts'

const quota = { name: 'test', requests: 3, windowS: 36_000 }

/** Someone who asks, with what was sent and not answered yet. */
function asker(answerTimeoutMs?: number) {
  const sent: Asks[] = []
  const asked = new AskedBuckets((asks) => sent.push(asks), answerTimeoutMs)
  return { sent, asked, limiter: createRateLimiter(quota, { shared: asked }) }
}

test('what is asked in one turn goes in one message, and each gets its own answer', async () => {
  const { sent, asked, limiter } = asker()
  const kept = new KeptBuckets()
  const taken = Promise.all(['a', 'b', 'a', 'a', 'a'].map((key) => limiter.take(key)))
  await nextTurn()
  assert.equal(sent.length, 1)
  for (const asks of sent) asked.receive(kept.answer(asks))
  const seen = (await taken).map(({ allowed, remaining }) => [allowed, remaining])
  assert.deepEqual(seen, [
    [true, 2],
    [true, 2],
    [true, 1],
    [true, 0],
    [false, 0],
  ])
  assert.equal(limiter.peek('a').allowed, false, 'what was heard is known here')
})

test('a limit has its own buckets, whoever asks', async () => {
  const kept = new KeptBuckets()
  const take = (id: number, key: string) =>
    kept.answer({ id, takes: [[key, 3_600_000_000, 3_600_000_000]] }).buckets[0]?.allowed
  assert.deepEqual([take(1, 'user:a'), take(2, 'user:a'), take(3, 'address:a')], [true, false, true])
})

test('while an answer is overdue nobody waits, and the count goes on from what was heard; then it is asked again', async () => {
  const { sent, asked, limiter } = asker(50)
  const kept = new KeptBuckets()
  const first = limiter.take('a')
  await nextTurn()
  for (const asks of sent.splice(0)) asked.receive(kept.answer(asks))
  assert.equal((await first).remaining, 2)
  assert.equal((await limiter.take('a')).remaining, 1, 'not answered in time')
  const here = limiter.take('a')
  assert.ok(!(here instanceof Promise))
  assert.equal(here.remaining, 0)
  for (const asks of sent.splice(0)) asked.receive(kept.answer(asks))
  const again = limiter.take('a')
  assert.ok(again instanceof Promise)
  await nextTurn()
  for (const asks of sent.splice(0)) asked.receive(kept.answer(asks))
  assert.equal((await again).remaining, 0)
})

test('when the other process is gone, what waits is counted here', async () => {
  const { asked, limiter } = asker()
  const waiting = limiter.take('a')
  await nextTurn()
  asked.lose()
  assert.equal((await waiting).remaining, 2)
  assert.ok(!(limiter.take('a') instanceof Promise))
})
