import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { type Client, newUser, startApp, type TestService } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { Place, until } from '../support/embedded-place.ts'
import { databaseAt, tell, timesOf, untilHealed } from './faults.ts'
import { startWriters } from './writers.ts'

// There is no connection to be had: those of the pool are all at work that does not end, or the server gives no more.

const poolMax = 4
const maxWaiting = 20
const inFlight = 80
const serverMax = 14

type Sent = { readonly code: string | undefined; readonly tookMs: number }

async function send(user: Client): Promise<Sent> {
  const from = performance.now()
  const { status, body } = await user.post('/api/me/tasks', { title: 'x' })
  assert.ok(status === 201 || status === 503, `${status}`)
  return { code: body.error?.code, tookMs: performance.now() - from }
}

/** Locks what every write of these users needs. @returns what lets go of it */
async function lockUsers({ testDatabase }: TestService, users: readonly Client[]) {
  const holder = new pg.Client(testDatabase.connection)
  await holder.connect()
  await holder.query('begin')
  const counters = 'select from app.change_counters where user_id = any($1) for update'
  await holder.query(counters, [users.map(({ userId }) => userId)])
  return () => holder.end()
}

test('all connections of the pool wait for locks: every request is answered within 5 s, and all goes on at once when they are free', async (t) => {
  const testDatabase = await createTestDatabase()
  const service = await startApp({ testDatabase, poolMax, maxWaiting })
  t.after(async () => {
    await service.stop()
    await testDatabase.drop()
  })
  const users = Array.from({ length: inFlight / 8 }, () => service.as(newUser()))
  for (const user of users) assert.equal((await send(user)).code, undefined)
  const healedMs: number[] = []
  let slowestMs = 0
  const counts = { written: users.length, lost: 0, doubled: 0, hung: 0, overloaded: 0, unavailable: 0 }
  const flood = async (unlockWhenFull: boolean) => {
    const unlock = await lockUsers(service, users)
    const sent = Array.from({ length: inFlight }, (_, n) => send(users[n % users.length] ?? assert.fail()))
    // Of those that come at the same moment, some that count as waiting have a connection at once.
    await until('all is taken', () => service.database.usage.waiting >= maxWaiting - poolMax)
    // All but the spare one, which is made when nothing has come back for a while.
    assert.ok(service.database.usage.inUse >= poolMax - 1)
    assert.equal((await service.anonymous().get('/health')).status, 200)
    if (!unlockWhenFull) await Promise.all(sent)
    await unlock()
    healedMs.push(await untilHealed(service))
    return Promise.all(sent)
  }
  const check = (answers: readonly Sent[], isWritten: boolean) => {
    const withCode = (wanted: string | undefined) => answers.filter(({ code }) => code === wanted).length
    const overloaded = withCode('OVERLOADED')
    const taken = inFlight - overloaded
    assert.ok(taken >= maxWaiting && overloaded > 0, `${taken} taken`)
    assert.equal(withCode(isWritten ? undefined : 'DATABASE_UNAVAILABLE'), taken)
    counts.overloaded += overloaded
    if (isWritten) counts.written += taken
    else counts.unavailable += taken
    slowestMs = Math.max(slowestMs, ...answers.map(({ tookMs }) => tookMs))
    counts.hung += answers.filter(({ tookMs }) => tookMs > 5_000).length
  }
  const times = timesOf(1)
  for (let round = 0; round < times; round++) {
    check(await flood(false), false)
    check(await flood(true), true)
  }
  await until('the pool is at rest', () => service.database.usage.inUse === 0)
  const { usage } = service.database
  assert.deepEqual({ waiting: usage.waiting, max: usage.max }, { waiting: 0, max: poolMax })
  assert.ok(usage.idle <= poolMax)
  const ids = users.map(({ userId }) => userId)
  const [row] = await testDatabase.query<{ stored: number }>(
    'select count(*)::int as stored from app.tasks where user_id = any($1)',
    [ids],
  )
  const difference = counts.written - (row?.stored ?? 0)
  counts.lost = Math.max(0, difference)
  counts.doubled = Math.max(0, -difference)
  const fault = 'every connection of the pool waits for a lock'
  tell(t, { fault, times: times * 2, inFlight, healedMs, ...counts }, JSON.stringify(counts))
  assert.deepEqual([counts.lost, counts.doubled], [0, 0])
  // Twice what is promised: a busy machine is late by itself, and what hangs is never answered.
  assert.ok(slowestMs < 10_000, `${slowestMs} ms`)
})

test('others have taken all connections of the server: 503 until they let go', {
  timeout: 60_000,
}, async (t) => {
  const place = await Place.make(t)
  const { connection } = await place.start({ settings: { max_connections: `${serverMax}` } })
  const service = await startApp({ testDatabase: databaseAt({ ...connection, ssl: false }) })
  const writers = 8
  const running = startWriters(Array.from({ length: writers }, () => service.as(newUser())))
  const healedMs: number[] = []
  const times = timesOf(3)
  for (let round = 0; round < times; round++) {
    const before = running.count()
    await until('every writer writes', () => running.count() > before + writers)
    const others = await takeAllConnections({ ...connection, ssl: false })
    const from = performance.now()
    const answer = await service.as(newUser()).get('/api/me/tasks')
    assert.deepEqual([answer.status, answer.body.error?.code], [503, 'DATABASE_UNAVAILABLE'])
    assert.ok(performance.now() - from < 5_000)
    assert.equal((await service.anonymous().get('/ready')).status, 503)
    await Promise.all(others.map((other) => other.end()))
    healedMs.push(await untilHealed(service))
  }
  const outcome = await running.finish()
  const fault = 'the server gives no connection (53300)'
  tell(t, { fault, times, inFlight: writers, healedMs, ...outcome }, JSON.stringify(outcome))
  const { lost, doubled, unclaimed, hung, failures } = outcome
  assert.deepEqual({ lost, doubled, unclaimed, hung }, { lost: 0, doubled: 0, unclaimed: 0, hung: 0 })
  assert.ok(failures > 0)
})

/** Takes what there is, and then what the service has. One is that of the server's owner. */
async function takeAllConnections(connection: pg.ClientConfig): Promise<pg.Client[]> {
  const taken: pg.Client[] = []
  const take = async () => {
    const client = new pg.Client(connection)
    client.on('error', () => {})
    try {
      await client.connect()
      taken.push(client)
    } catch (error) {
      assert.ok(error instanceof pg.DatabaseError && error.code === '53300', String(error))
    }
  }
  await until('all are taken', async () => {
    // All at once: the service tries to have its own back at the same time.
    await Promise.all(Array.from({ length: serverMax - 1 - taken.length }, take))
    if (taken.length === serverMax - 1) return true
    const ofService = `from pg_stat_activity where application_name = 'backend-core'`
    await taken[0]?.query(`select pg_terminate_backend(pid) ${ofService}`)
    return false
  })
  return taken
}
