import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Deadline } from '../../src/db/deadline.ts'
import { Exchange, type Preparation } from '../../src/db/exchange.ts'
import { Pool, type PoolOptions } from '../../src/db/pool.ts'
import { isConnectionLost } from '../../src/db/sqlstate.ts'
import { createTestDatabase } from '../support/database.ts'
import { until } from '../support/embedded-place.ts'
import { hold, unavailable } from '../support/pool.ts'
import { openProxy } from '../support/proxy.ts'

// Reads of several requests under way on one connection, whose server is held up by an advisory lock where they must be.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

function openPool(options: Partial<PoolOptions> = {}): Pool {
  const pool = new Pool({ connection: testDatabase.connection, poolMax: 1, ...options })
  after(() => pool.close())
  return pool
}

async function openProxiedPool(poolMax: number, deadlineMs?: number) {
  const proxy = await openProxy(testDatabase.connection)
  after(() => proxy.close())
  const connection = { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port }
  return { proxy, pool: openPool({ connection, poolMax, ...(deadlineMs && { deadlineMs }) }) }
}

const texts = {
  echo: `select $1::text, pg_backend_pid()`,
  /** Three rows, so that one too few or too many would be seen. */
  thrice: `select $1::text || n, pg_backend_pid() from generate_series(1, 3) n`,
  divide: `select $1 || 1 / nullif(length($1), 7), pg_backend_pid()`,
  fail: `select $1 || 1 / (length($1) - length($1)), pg_backend_pid()`,
  pause: `select $1::text, pg_backend_pid() from pg_sleep(0.25)`,
  wait: `select $1::text, pg_backend_pid() from pg_advisory_xact_lock_shared(7)`,
} as const
type Text = keyof typeof texts

type Found = { readonly values: readonly (string | null)[]; readonly pid: string | null }

type Options = { readonly preparation?: Preparation; readonly onBegin?: () => void }

/** Has a statement run that may share a connection, again where its connection is lost. */
async function share(pool: Pool, text: Text, value: string, options: Options = {}): Promise<Found> {
  const { preparation = 'named', onBegin } = options
  let rows: (readonly (string | null)[])[] = []
  const begin = (_: Deadline) => {
    onBegin?.()
    rows = []
    const onRow = (fields: readonly (string | null)[]) => rows.push(fields)
    return new Exchange([{ name: text, text: texts[text], values: [value], onRow }], preparation)
  }
  await pool.share({ writes: false, begin, runAlone: () => assert.fail() }, isConnectionLost)
  return { values: rows.map(([found = null]) => found), pid: rows[0]?.[1] ?? null }
}

/** The same for several in one turn of the event loop; each must find what is its own. */
async function shareAll(pool: Pool, text: Text, values: readonly string[]): Promise<(string | null)[]> {
  const all = await Promise.all(values.map((value) => share(pool, text, value)))
  const expected = (value: string) => (text === 'thrice' ? [1, 2, 3].map((n) => `${value}${n}`) : [value])
  all.forEach(({ values: found }, at) => {
    assert.deepEqual(found, expected(values[at] ?? ''))
  })
  return all.map(({ pid }) => pid)
}

const named = (count: number, prefix = 'v') => Array.from({ length: count }, (_, at) => `${prefix}${at}.`)

/** A connection whose lock holds up whatever statement waits for it. */
async function lock(): Promise<{ unlock(): Promise<void> }> {
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  await client.query('select pg_advisory_lock(7)')
  let open = true
  const unlock = async () => {
    if (open) await client.end()
    open = false
  }
  after(unlock)
  return { unlock }
}

test('what is asked in one turn is sent together, without waiting for answers', async () => {
  const { proxy, pool } = await openProxiedPool(5, 1_500)
  await share(pool, 'echo', 'first')
  const kept = proxy.keepBack('answer', /v0\..*v1\..*v7\./s)
  const all = named(8).map((value) => share(pool, 'echo', value))
  await kept
  for (const each of all) await assert.rejects(each, unavailable)
})

test('sixteen go together, and each finds its own rows', async () => {
  const pool = openPool({ poolMax: 10 })
  await shareAll(pool, 'thrice', ['first'])
  const pids = await shareAll(pool, 'thrice', named(16))
  assert.equal(new Set(pids).size, 1)
  const all = shareAll(pool, 'thrice', named(33))
  await new Promise(setImmediate)
  assert.equal(pool.usage.inUse, 3)
  await all
})

test('on a new connection a statement goes alone, until the server has it', async () => {
  const pool = openPool()
  await Promise.all([shareAll(pool, 'echo', named(5)), shareAll(pool, 'thrice', named(5))])
  await shareAll(pool, 'thrice', named(5))
})

test('a statement that the server refuses is nothing to the others, nor to the connection', async () => {
  const pool = openPool()
  await share(pool, 'divide', 'seven..')
  const [pid] = await shareAll(pool, 'echo', ['first'])
  await assert.rejects(share(pool, 'fail', 'x'))
  const all = named(8).map((value, at) =>
    share(pool, at % 3 === 1 || at === 7 ? 'fail' : 'echo', value).then(
      ({ values: [found] }) => found,
      (error: unknown) => (error instanceof pg.DatabaseError ? error.code : error),
    ),
  )
  assert.deepEqual(await Promise.all(all), ['v0.', '22012', 'v2.', 'v3.', '22012', 'v5.', 'v6.', '22012'])
  assert.deepEqual(await shareAll(pool, 'echo', named(3)), [pid, pid, pid])
})

test('a row that cannot be read fails its own read alone', async () => {
  const pool = openPool()
  await share(pool, 'echo', 'first')
  const onRow = () => assert.fail('not what was declared')
  const step = { name: 'echo', text: texts.echo, values: ['x'], onRow }
  const begin = () => new Exchange([step])
  const broken = pool.share({ writes: false, begin, runAlone: () => assert.fail() })
  const others = shareAll(pool, 'echo', named(5))
  await assert.rejects(broken, /not what was declared/)
  const [pid = null] = await others
  assert.ok(!(await shareAll(pool, 'echo', named(5))).includes(pid), 'the connection is not trusted')
})

test('what cannot be sent fails with what was to go with it, and the connection is closed', async () => {
  const pool = openPool()
  const { pid } = await share(pool, 'echo', 'first')
  // Nothing that the service sends is like this.
  const all = ['v0.', Symbol('v1.') as unknown as string, 'v2.'].map((value) => share(pool, 'echo', value))
  for (const each of await Promise.allSettled(all)) assert.equal(each.status, 'rejected')
  assert.notEqual((await share(pool, 'echo', 'next')).pid, pid)
})

test('a connection that is lost in the midst of the answers is lost for all of them: each is asked again', async () => {
  const { proxy, pool } = await openProxiedPool(1)
  await share(pool, 'thrice', 'first')
  const cut = proxy.cutAnswer('commit')
  await shareAll(pool, 'thrice', named(8))
  await cut
})

test('a server that ends the connection has each asked again', async () => {
  const pool = openPool()
  const { pid } = await share(pool, 'echo', 'first')
  await share(pool, 'wait', 'first')
  const { unlock } = await lock()
  const waiting = share(pool, 'wait', 'x')
  const behind = shareAll(pool, 'echo', named(5))
  await until('the first waits for the lock', async () => {
    const waits = `select 1 from pg_stat_activity where pid = $1 and wait_event = 'advisory'`
    return (await testDatabase.query(waits, [pid])).length > 0
  })
  await testDatabase.query('select pg_terminate_backend($1)', [Number(pid)])
  await unlock()
  assert.deepEqual((await waiting).values, ['x'])
  assert.ok(!(await behind).includes(pid))
})

test('a server that says nothing fails all of them in time, and no connection of then is used again', async () => {
  // Before the silence itself is noticed.
  const { proxy, pool } = await openProxiedPool(2, 750)
  const idle = [await hold(pool), await hold(pool)]
  for (const { release } of idle) release()
  await Promise.all(idle.map(({ done }) => done))
  const { pid } = await share(pool, 'echo', 'first')
  proxy.silence()
  for (const each of named(7).map((value) => share(pool, 'echo', value)))
    await assert.rejects(each, unavailable)
  assert.notEqual((await share(pool, 'echo', 'next')).pid, pid)
  assert.equal(pool.usage.inUse, 0)
})

test('each answer shows that the server is there, though the last is late', async () => {
  const pool = openPool({ poolMax: 3 })
  const { pid } = await share(pool, 'pause', 'first')
  await shareAll(pool, 'pause', named(6))
  assert.equal((await share(pool, 'echo', 'next')).pid, pid)
})

test('one that is given up leaves its answer to nobody else, and ends the connection with the last', async () => {
  const deadlineMs = 1_200
  const pool = openPool({ deadlineMs })
  const { pid } = await share(pool, 'echo', 'first')
  await share(pool, 'wait', 'first')
  const { unlock } = await lock()
  const held = await hold(pool)
  const given = share(pool, 'wait', 'given up')
  given.catch(() => {})
  // The deadlines of the others must be later.
  await delay(deadlineMs / 2)
  const others = shareAll(pool, 'echo', named(5))
  held.release()
  await assert.rejects(given, unavailable)
  await unlock()
  assert.deepEqual(new Set(await others), new Set([pid]))
  assert.notEqual((await share(pool, 'echo', 'next')).pid, pid)
})

test('who is no longer waiting when a connection comes is passed over', async () => {
  const pool = openPool({ deadlineMs: 600 })
  const { release, done } = await hold(pool, 'none')
  let begun = 0
  const late = named(3).map((value) => share(pool, 'echo', value, { onBegin: () => begun++ }))
  for (const each of late) await assert.rejects(each, unavailable)
  const next = share(pool, 'echo', 'next')
  release()
  assert.deepEqual((await next).values, ['next'])
  await done
  assert.equal(begun, 0)
  assert.deepEqual(pool.usage, { inUse: 0, idle: 1, waiting: 0, max: 1 })
})

test('all that wait are counted, and each has its turn among those who want a connection alone', async () => {
  const pool = openPool()
  await share(pool, 'echo', 'first')
  const { release, done } = await hold(pool)
  const order: string[] = []
  const lend = (name: string) =>
    pool.lend('deadline', async () => {
      order.push(name)
    })
  const note = (name: string) => () => order.push(name)
  const all: Promise<unknown>[] = [lend('first')]
  all.push(...named(12).map((value) => share(pool, 'echo', value, { onBegin: note('read') })))
  assert.equal(pool.usage.waiting, 13)
  // A turn of the event loop later they have asked for connections.
  await delay(0)
  all.push(lend('last'))
  assert.equal(pool.usage.waiting, 14)
  release()
  await Promise.all([...all, done])
  const reads = (count: number) => Array.from({ length: count }, () => 'read')
  assert.deepEqual(order, ['first', ...reads(12), 'last'])
  assert.equal(pool.usage.waiting, 0)
})

test('without prepared statements each goes over a connection of its own', async () => {
  const pool = openPool({ poolMax: 6 })
  await share(pool, 'wait', 'first')
  const { unlock } = await lock()
  const all = named(5).map((value) => share(pool, 'wait', value, { preparation: 'unnamed' }))
  await until('all are under way', () => pool.usage.inUse === 5 && pool.usage.waiting === 0)
  await unlock()
  assert.equal(new Set((await Promise.all(all)).map(({ pid }) => pid)).size, 5)
})

test('a connection that cannot be made is told to those who wait', async () => {
  const pool = openPool({ connection: { ...testDatabase.connection, database: 'not_there' } })
  for (const each of await Promise.allSettled(named(20).map((value) => share(pool, 'echo', value)))) {
    const cause = each.status === 'rejected' && unavailable(each.reason) && each.reason.cause
    assert.ok(cause instanceof pg.DatabaseError && cause.code === '3D000')
  }
  assert.deepEqual(pool.usage, { inUse: 0, idle: 0, waiting: 0, max: 1 })
})

test('when the pool closes, those that wait and those under way are told so at once', async () => {
  const { unlock } = await lock()
  const pool = new Pool({ connection: testDatabase.connection, poolMax: 1 })
  await share(pool, 'echo', 'first')
  const all = [share(pool, 'wait', 'x'), ...named(20).map((value) => share(pool, 'echo', value))]
  await until('the first is under way', () => pool.usage.inUse === 1 && pool.usage.waiting === 20)
  const closing = pool.close()
  for (const each of all) await assert.rejects(each, unavailable)
  await assert.rejects(share(pool, 'echo', 'x'), unavailable)
  await closing
  await unlock()
})

test('whatever is under way and whatever breaks, each finds its own rows', async () => {
  const pool = openPool({ poolMax: 3 })
  const kinds = ['echo', 'thrice', 'fail', 'alone', 'end'] as const
  let done = 0
  const client = async (number: number) => {
    for (let turn = 0; turn < 60; turn++) {
      const value = `${number}-${turn}.`
      const kind = Math.random() < 0.02 ? 'end' : kinds[Math.floor(Math.random() * 4)]
      if (kind === 'echo' || kind === 'thrice') await shareAll(pool, kind, [value])
      else if (kind === 'fail') await assert.rejects(share(pool, 'fail', value), { code: '22012' })
      else if (kind === 'end') await testDatabase.query(endOne, [testDatabase.name])
      else await pool.lend('deadline', (lent) => echoAlone(lent, value), isConnectionLost)
      done++
    }
  }
  await Promise.all(Array.from({ length: 20 }, (_, at) => client(at)))
  assert.equal(done, 1_200)
})

const endOne = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = $1 and application_name = 'backend-core' and state <> 'idle' limit 1`

async function echoAlone(client: pg.PoolClient, value: string): Promise<void> {
  const { rows } = await client.query<{ value: string }>('select $1::text as value', [value])
  assert.equal(rows[0]?.value, value)
}
