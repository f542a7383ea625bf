import assert from 'node:assert/strict'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { OWNER_LOCK } from '../../src/db/embedded/session.ts'
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts'
import { makeRoot, Place, query, refused, until } from '../support/embedded-place.ts'

describe('an owned server that dies', { timeout: 120_000 }, () => {
  let root: string
  let dataDir: string

  before(async () => {
    root = await makeRoot()
    dataDir = join(root, 'data')
    const server = await startEmbeddedPostgres({ dataDir, durable: false })
    await server.stop()
  })
  after(() => rm(root, { recursive: true, force: true }))

  test('a killed server is started again, and the same pool goes on with the same data', async (t) => {
    const place = Place.open(t, dataDir)
    const server = await place.start({ durable: true })
    const pool = new pg.Pool({ ...server.connection, max: 3 })
    pool.on('error', () => undefined)
    t.after(() => pool.end())
    await pool.query('create table kept as select 1 as one')
    for (const round of [1, 2]) {
      process.kill(await place.pid(), 'SIGKILL')
      await until('it runs again', () => place.count('restarted') === round)
      assert.deepEqual((await pool.query('select one from kept')).rows, [{ one: 1 }])
    }
    await refused(place.start(), 'in use by process')
  })

  test('a server that cannot be started again is tried until it can', async (t) => {
    const place = Place.open(t, dataDir)
    const server = await place.start()
    const pid = await place.pid()
    const aside = `${place.cluster}-aside`
    await rename(place.cluster, aside)
    process.kill(pid, 'SIGKILL')
    await until('two attempts fail', () => place.count('restart-failed') > 1)
    await rename(aside, place.cluster)
    await until('it runs again', () => place.types.includes('restarted'))
    assert.deepEqual(await query(server, 'select 1 as one'), [{ one: 1 }])
  })

  test('stop while the server is being started again ends the attempts', async (t) => {
    const place = Place.open(t, dataDir)
    const server = await place.start()
    const pid = await place.pid()
    await rename(place.cluster, `${place.cluster}-aside`)
    process.kill(pid, 'SIGKILL')
    await until('an attempt fails', () => place.types.includes('restart-failed'))
    await server.stop()
    await rename(`${place.cluster}-aside`, place.cluster)
    const next = await place.start()
    assert.equal(next.owned, true)
    assert.equal(place.count('restarted'), 0)
  })

  test('a lost session of a server that runs on is opened again, without a new server', async (t) => {
    const place = Place.open(t, dataDir)
    const server = await place.start()
    const pid = await place.pid()
    const owners =
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'backend-core pid%'"
    await query(server, owners)
    await until('it is held again', () => place.types.includes('restarted'))
    assert.equal(await place.pid(), pid)
    await refused(place.start(), 'in use by process')
  })

  test('an owner whose folder another process has taken meanwhile gets it back when that one ends', async (t) => {
    const place = Place.open(t, dataDir)
    const { connection } = await place.start()
    const name = `backend-core pid ${process.ppid}`
    const rival = new pg.Client({ ...connection, database: 'postgres', application_name: name })
    await rival.connect()
    t.after(() => rival.end())
    const taken = rival.query('select pg_advisory_lock($1, $2)', [...OWNER_LOCK])
    const ownerOnly = `select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'backend-core pid ${process.pid}'`
    await query({ connection }, ownerOnly)
    await taken
    await until('it is told', () => place.types.includes('restart-failed'))
    assert.match(String(place.events.map((event) => 'error' in event && event.error)), /has taken over/)
    await rival.end()
    await until('it is held again', () => place.types.includes('restarted'))
  })
})
