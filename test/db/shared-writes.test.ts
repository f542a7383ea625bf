import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { Exchange } from '../../src/db/exchange.ts'
import { Pool, type PoolOptions } from '../../src/db/pool.ts'
import { createTestDatabase } from '../support/database.ts'
import { unavailable } from '../support/pool.ts'
import { openProxy } from '../support/proxy.ts'

// What is different about writes that share a connection: they are spread first, and wait for no lock.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

function openPool(poolMax: number, options: Partial<PoolOptions> = {}): Pool {
  const pool = new Pool({ connection: testDatabase.connection, poolMax, ...options })
  after(() => pool.close())
  return pool
}

const brief = { name: 'brief', text: `select set_config('lock_timeout', '20', true)`, values: [] }
const lockText = 'select pg_advisory_xact_lock($1::int)'

/** Waits for a lock, over a connection of its own where it is not free. */
function lock(pool: Pool, number: number): Promise<void> {
  const step = { name: 'lock', text: lockText, values: [String(number)] }
  return pool.share({
    writes: true,
    begin: () => new Exchange([brief, step]),
    runAlone: (client) => client.query(lockText, [number]),
  })
}

async function holdLock(number: number): Promise<pg.Client> {
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  await client.query('select pg_advisory_lock($1::int)', [number])
  return client
}

test('writes go together only where no connection is free', async () => {
  const pool = openPool(6)
  const few = [1, 2, 3].map((number) => lock(pool, number))
  await new Promise(setImmediate)
  assert.equal(pool.usage.inUse, 3)
  await Promise.all(few)
})

test('where no connection is free up to four go together', async () => {
  const proxy = await openProxy(testDatabase.connection)
  after(() => proxy.close())
  const connection = { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port }
  const pool = openPool(1, { connection, deadlineMs: 1_500 })
  const share = (value: string) => {
    const step = { name: 'echo', text: 'select $1::text', values: [value] }
    return pool.share({ writes: true, begin: () => new Exchange([step]), runAlone: () => assert.fail() })
  }
  await share('first.')
  const kept = proxy.keepBack('answer', /one\..*two\..*three\..*four\./s)
  const all = ['one.', 'two.', 'three.', 'four.', '5.', '6.', '7.', '8.'].map(share)
  await kept
  assert.deepEqual(pool.usage, { inUse: 1, idle: 0, waiting: 4, max: 1 })
  for (const each of all) await assert.rejects(each, unavailable)
})

test('one that meets a lock lets the others pass, and waits for it over a connection of its own', async () => {
  const pool = openPool(1)
  await lock(pool, 1)
  const holder = await holdLock(1)
  let done = false
  const waiting = lock(pool, 1).finally(() => {
    done = true
  })
  await Promise.all([2, 3, 4].map((number) => lock(pool, number)))
  assert.equal(done, false)
  await holder.end()
  await waiting
})

test('what meets a lock over its own connection as well is told so', async () => {
  const pool = openPool(1)
  const holder = await holdLock(7)
  const alone: number[] = []
  const refused = pool.share({
    writes: true,
    begin: () => new Exchange([brief, { name: 'lock', text: lockText, values: ['7'] }]),
    runAlone: async (client) => {
      alone.push(1)
      await client.query(`begin; set local lock_timeout = '10ms'`)
      await client.query(lockText, [7]).finally(() => client.query('rollback'))
    },
  })
  await assert.rejects(refused, { code: 'DATABASE_UNAVAILABLE' })
  assert.equal(alone.length, 1)
  await holder.end()
})
