import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUser, startApp } from '../support/app.ts'
import { Place, until } from '../support/embedded-place.ts'
import { databaseAt, tell, timesOf, untilHealed } from './faults.ts'
import { startWriters } from './writers.ts'

// A real server of its own, with durability, killed again and again under writers that repeat what was not acknowledged.

/** Most of the time goes into the server's own recovery. */
const kills = timesOf(3)
const writers = 16

test('PostgreSQL killed again and again under 16 writers: nothing acknowledged is lost, nothing is there twice, nothing hangs', {
  timeout: 120_000,
}, async (t) => {
  const place = await Place.make(t)
  const server = await place.start({ durable: true })
  const connection = { ...server.connection, ssl: false }
  const service = await startApp({ testDatabase: databaseAt(connection) })
  const users = Array.from({ length: writers }, () => service.as(newUser()))
  const running = startWriters(users)
  const healedMs: number[] = []
  for (let round = 1; round <= kills; round++) {
    const before = running.count()
    await until('every writer writes', () => running.count() > before + writers)
    process.kill(await place.pid(), 'SIGKILL')
    const killedAt = performance.now()
    await until('it is started again', () => place.count('restarted') === round)
    healedMs.push(await untilHealed(service))
    assert.ok(performance.now() - killedAt < 30_000)
  }
  const outcome = await running.finish()
  const fault = 'PostgreSQL killed (SIGKILL); from when it is up again'
  tell(t, { fault, times: kills, inFlight: writers, healedMs, ...outcome }, JSON.stringify(outcome))
  const { lost, doubled, unclaimed, hung, failures } = outcome
  assert.deepEqual({ lost, doubled, unclaimed, hung }, { lost: 0, doubled: 0, unclaimed: 0, hung: 0 })
  assert.ok(failures > 0, 'the writers met the failures')
})
