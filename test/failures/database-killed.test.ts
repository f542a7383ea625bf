import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { newUser, startApp } from '../support/app.ts'
import type { TestDatabase } from '../support/database.ts'
import { Place, until } from '../support/embedded-place.ts'
import { startWriters } from './writers.ts'

// A real server of its own, with durability, killed again and again under writers that repeat what was not acknowledged.

/** More by hand: KILLS=10. Most of the time goes into the server's own recovery. */
const kills = Number(process.env.KILLS ?? 3)
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
    const upAt = performance.now()
    const probe = service.as(newUser())
    await until(
      'a write succeeds',
      async () => (await probe.post('/api/me/tasks', { title: 'x' })).status === 201,
    )
    healedMs.push(Math.round(performance.now() - upAt))
    assert.ok(performance.now() - killedAt < 30_000)
  }
  const outcome = await running.finish()
  t.diagnostic(
    `${kills} kills, ${writers} requests in flight: ${JSON.stringify(outcome)}; served again ` +
      `${healedMs.join(', ')} ms after the server was up`,
  )
  const { lost, doubled, unclaimed, hung, failures } = outcome
  assert.deepEqual({ lost, doubled, unclaimed, hung }, { lost: 0, doubled: 0, unclaimed: 0, hung: 0 })
  assert.ok(failures > 0, 'the writers met the failures')
})

/** The database of a server that the test itself runs. */
function databaseAt(connection: pg.ClientConfig): TestDatabase {
  return {
    name: connection.database ?? '',
    connection,
    async query<R extends pg.QueryResultRow>(text: string, values?: unknown[]) {
      const client = new pg.Client(connection)
      await client.connect()
      try {
        return (await client.query<R>(text, values)).rows
      } finally {
        await client.end()
      }
    },
    async drop() {},
  }
}
