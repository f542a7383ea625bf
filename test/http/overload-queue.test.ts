import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Overload } from '../../src/ops/overload.ts'
import { StandingQueue } from '../../src/ops/standing-queue.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { eventually } from '../support/process.ts'

const bounds = { intervalMs: 50, waitMs: 100, minWaiting: 10 }

test('a queue that does not empty is held at what is done within the bound, however fast that is', () => {
  for (const [donePerMs, most] of [
    [2, 200],
    [0.5, 50],
    // The least that may wait.
    [0.02, 10],
  ] as const) {
    const queue = new StandingQueue(bounds, 1_000)
    // From nothing to 500 within one interval, and it is not known yet whether that is a burst.
    assert.equal(queue.isFull(0, 0, 1_000), false)
    assert.equal(queue.isFull(500, 49 * donePerMs, 1_049), false)
    // In this interval it was empty.
    assert.equal(queue.isFull(500, 50 * donePerMs, 1_050), false)
    assert.equal(queue.isFull(500, 99 * donePerMs, 1_099), false)
    assert.equal(queue.isFull(500, 100 * donePerMs, 1_100), true)
    assert.equal(queue.isFull(most, 101 * donePerMs, 1_101), true)
    assert.equal(queue.isFull(most - 1, 101 * donePerMs, 1_101), false)
  }
})

test('what was done while the queue emptied says nothing of what can be done', () => {
  const queue = new StandingQueue(bounds, 0)
  // Little was asked for, and done.
  for (let ms = 0; ms <= 1_000; ms += 10) assert.equal(queue.isFull(0, ms / 100, ms), false)
  assert.equal(queue.isFull(150, 10, 1_001), false)
  // Two a millisecond: then 150 wait for 75 ms.
  assert.equal(queue.isFull(150, 110, 1_051), false)
  assert.equal(queue.isFull(150, 210, 1_101), false)
  assert.equal(queue.isFull(201, 210, 1_101), true)
})

test('once the queue has emptied it is over', () => {
  const queue = new StandingQueue(bounds, 0)
  queue.isFull(500, 0, 50)
  queue.isFull(500, 50, 100)
  assert.equal(queue.isFull(500, 50, 101), true)
  assert.equal(queue.isFull(0, 50, 110), false)
  // The interval in which it emptied, and the next one, in which it may fill again.
  assert.equal(queue.isFull(500, 100, 150), false)
  assert.equal(queue.isFull(500, 149, 199), false)
  assert.equal(queue.isFull(500, 150, 200), true)
})

test('where nothing is done at all the database is away: what comes may wait, as far as it might before', () => {
  const away = new StandingQueue(bounds, 0)
  for (let ms = 0; ms <= 5_000; ms += 10) assert.equal(away.isFull(ms, 0, ms), false)
  // It is back, and the time away says nothing of what it can do.
  assert.equal(away.isFull(501, 20, 5_020), false)
  assert.equal(away.isFull(501, 120, 5_070), true)
  assert.equal(away.isFull(100, 120, 5_070), false)

  const overloaded = new StandingQueue(bounds, 0)
  overloaded.isFull(500, 50, 50)
  assert.equal(overloaded.isFull(500, 150, 100), true)
  for (let ms = 100; ms <= 5_000; ms += 10) {
    assert.equal(overloaded.isFull(200, 150, ms), true)
    assert.equal(overloaded.isFull(199, 150, ms), false)
  }
})

type Outcome = { refused: number; waitsMs: number[]; idleMs: number }

/** Serves `donePerMs` from one queue, and asks for each that comes whether it may wait. Nothing of it takes real time. */
function simulate(arrivalsAt: (ms: number) => number, forMs: number, donePerMs = 2): Outcome {
  const queue = new StandingQueue(bounds, 0)
  const cameAtMs: number[] = []
  const outcome: Outcome = { refused: 0, waitsMs: [], idleMs: 0 }
  for (let ms = 0; ms < forMs; ms++) {
    for (let n = 0; n < donePerMs; n++) {
      const came = cameAtMs.shift()
      if (came === undefined) outcome.idleMs += 1 / donePerMs
      else outcome.waitsMs.push(ms - came)
    }
    for (let n = arrivalsAt(ms); n > 0; n--) {
      if (queue.isFull(cameAtMs.length, outcome.waitsMs.length, ms)) outcome.refused++
      else cameAtMs.push(ms)
    }
  }
  return outcome
}

test('at two to ten times of what can be done, work never runs out and nobody waits for long', () => {
  for (const times of [2, 3, 10]) {
    const { refused, waitsMs, idleMs } = simulate(() => 2 * times, 20_000)
    assert.ok(idleMs < 2, `it had nothing to do for ${idleMs} ms`)
    assert.ok(refused > 20_000 * 2 * (times - 1) * 0.95)
    // What came before the queue was known to stand is through by then.
    const later = waitsMs.slice(waitsMs.length / 2)
    assert.ok(Math.max(...later) <= 110, `someone waited for ${Math.max(...later)} ms`)
    assert.ok(Math.min(...later) >= 90, `someone waited for only ${Math.min(...later)} ms`)
  }
})

test('what can be done is not refused: a steady nine tenths, and bursts that are over before the next one', () => {
  assert.equal(simulate((ms) => (ms % 10 < 8 ? 2 : 1), 20_000).refused, 0)
  // A hundred milliseconds' worth at once, five times a second; half a second's worth, once a second.
  assert.equal(simulate((ms) => (ms % 200 === 0 ? 200 : 0), 20_000).refused, 0)
  assert.equal(simulate((ms) => (ms % 1_000 === 0 ? 1_000 : 0), 20_000).refused, 0)
})

test('when clients keep more waiting than is done in the time, some are refused, and none when they are gone', async () => {
  const patient = { intervalMs: 100, highMs: 60_000, looksToBegin: 3, lowMs: 1, looksToEnd: 2 }
  const service = await startApp({
    poolMax: 1,
    maxWaiting: Number.POSITIVE_INFINITY,
    loopDelay: patient,
  })
  const user = service.as(newUser())
  await makeTask(user)
  // One connection does not do a tenth of 10,000 a second.
  const statuses = new Set<number>()
  let asked = 0
  const client = async () => {
    while (!statuses.has(503) && asked++ < 20_000) statuses.add((await user.get('/api/me/tasks')).status)
  }
  await Promise.all(Array.from({ length: 1_000 }, client))
  assert.deepEqual([...statuses].toSorted(), [200, 503])
  const line = service.logs.find(({ msg }) => msg === 'overloaded: requests are refused')
  assert.equal(line?.reason, 'database queue')

  await eventually(async () => (await user.get('/api/me/tasks')).status === 200)
})

test('ten for each connection may wait, however slow the database is', () => {
  const usage = { waiting: 99, max: 10 }
  const queue = { usage, isFull: false, roundTrips: 0 }
  const overload = new Overload({ queue, log: { warn() {} } })
  try {
    const answers = new Set<boolean>()
    const ask = (forMs: number) => {
      for (const until = performance.now() + forMs; performance.now() < until; queue.roundTrips += 1e-6)
        answers.add(overload.refuses('/api/me/tasks'))
    }
    ask(200)
    assert.deepEqual([...answers], [false])
    usage.waiting = 100
    ask(1)
    assert.deepEqual([...answers], [false, true])
  } finally {
    overload.stop()
  }
})
