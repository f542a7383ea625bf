import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { Pool, type PoolOptions } from '../../src/db/pool.ts'
import { createTestDatabase } from '../support/database.ts'
import { until } from '../support/embedded-place.ts'
import { hold, pidOf, unavailable } from '../support/pool.ts'
import { openProxy } from '../support/proxy.ts'

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

function openPool(options: Partial<PoolOptions> = {}): Pool {
  const pool = new Pool({ connection: testDatabase.connection, poolMax: 1, ...options })
  after(() => pool.close())
  return pool
}

test('those who wait get the connection in turn, and it is the same one', async () => {
  const pool = openPool()
  const first = await hold(pool)
  const order: number[] = []
  const waiting = [1, 2, 3].map((n) =>
    pool.lend('deadline', (client) => {
      order.push(n)
      return pidOf(client)
    }),
  )
  assert.deepEqual(pool.usage, { inUse: 1, idle: 0, waiting: 3, max: 1 })
  first.release()
  const pid = await first.done
  assert.deepEqual(await Promise.all(waiting), [pid, pid, pid])
  assert.deepEqual(order, [1, 2, 3])
  assert.deepEqual(pool.usage, { inUse: 0, idle: 1, waiting: 0, max: 1 })
})

test('a connection that broke while it was lent is not passed on, though its work ended well', async () => {
  const errors: unknown[] = []
  const pool = openPool({ onConnectionError: (error) => errors.push(error) })
  const first = pool.lend('deadline', async (client) => {
    const { promise: closed, resolve: close } = Promise.withResolvers<void>()
    client.on('end', close)
    const pid = await pidOf(client)
    await testDatabase.query('select pg_terminate_backend($1)', [pid])
    await closed
    return pid
  })
  const second = pool.lend('deadline', pidOf)
  const [pid, next] = await Promise.all([first, second])
  assert.notEqual(next, pid)
  assert.ok(errors.length > 0)
})

test('who is no longer waiting when a connection comes is passed over', async () => {
  const pool = openPool({ deadlineMs: 400 })
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const holding = pool.lend('none', async (client) => {
    await held
    return pidOf(client)
  })
  let ran = false
  const tooLate = pool.lend('deadline', async () => {
    ran = true
  })
  await assert.rejects(tooLate, unavailable)
  assert.equal(pool.usage.waiting, 0)
  const next = pool.lend('deadline', pidOf)
  release()
  assert.equal(await next, await holding)
  assert.equal(ran, false)
})

test('a connection that could not be made is told to one who waits, and tried again for the next', async () => {
  const pool = openPool({ connection: { ...testDatabase.connection, database: 'not_there' } })
  const all = [1, 2, 3].map(() => pool.lend('deadline', pidOf))
  for (const each of await Promise.allSettled(all)) {
    const cause = each.status === 'rejected' && unavailable(each.reason) && each.reason.cause
    // Not that the time was over.
    assert.ok(cause instanceof pg.DatabaseError && cause.code === '3D000')
  }
  assert.deepEqual(pool.usage, { inUse: 0, idle: 0, waiting: 0, max: 1 })
})

test('no more connections are tried for than wait for one, also where none can be made', async () => {
  let tried = 0
  const server = createServer((socket) => {
    tried++
    socket.destroy()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  after(() => server.close())
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const pool = openPool({ poolMax: 5, connection: { host: '127.0.0.1', port: address.port, ssl: false } })
  const all = [1, 2, 3].map(() => pool.lend('deadline', pidOf))
  for (const each of await Promise.allSettled(all)) assert.equal(each.status, 'rejected')
  assert.equal(tried, 3)
})

/** Connections of the pool, as the server sees them. */
async function countConnections(): Promise<number> {
  const [{ count } = { count: -1 }] = await testDatabase.query<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where datname = current_database() and application_name = 'backend-core'`,
  )
  return count
}

test('while nothing comes back a spare connection, one of the most there may be, serves who waits, and ends with that', async () => {
  const pool = openPool({ poolMax: 3 })
  const holding = [await hold(pool), await hold(pool)]
  const pids = await Promise.all([1, 2].map(() => pool.lend('deadline', pidOf)))
  assert.equal(pids[0], pids[1])
  assert.equal(await pool.lend('deadline', pidOf), pids[0], 'and whoever comes as long as that goes on')
  assert.equal(await countConnections(), 3)
  assert.deepEqual(pool.usage, { inUse: 2, idle: 1, waiting: 0, max: 3 })
  for (const { release } of holding) release()
  const held = await Promise.all(holding.map(({ done }) => done))
  assert.ok(pids[0] !== undefined && !held.includes(pids[0]))
  assert.notEqual(await pool.lend('deadline', pidOf), pids[0])
  assert.equal(pool.usage.inUse + pool.usage.idle <= 2, true)
  await until('the spare one is closed', async () => (await countConnections()) <= 2)
})

test('a pool of two has none to spare: both serve', async () => {
  const pool = openPool({ poolMax: 2 })
  for (const { release, done } of await Promise.all([hold(pool), hold(pool)])) {
    release()
    await done
  }
  assert.deepEqual(pool.usage, { inUse: 0, idle: 2, waiting: 0, max: 2 })
})

test('a pool closes though its spare connection is there and nobody has it', {
  timeout: 15_000,
}, async () => {
  const pool = new Pool({ connection: testDatabase.connection, poolMax: 3 })
  const holding = [await hold(pool), await hold(pool)]
  await pool.lend('deadline', pidOf)
  const closing = pool.close()
  for (const { release } of holding) release()
  await closing
})

test('a spare connection that cannot be made in time is tried again', async () => {
  let tried = 0
  const silent = createServer(() => tried++)
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  const address = silent.address()
  assert.ok(typeof address === 'object' && address !== null)
  const proxy = await openProxy(testDatabase.connection)
  const pool = openPool({
    poolMax: 3,
    connection: { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port },
  })
  after(async () => {
    await proxy.close()
    silent.close()
  })
  const holding = [await hold(pool), await hold(pool)]
  proxy.lead({ host: '127.0.0.1', port: address.port })
  const waiting = pool.lend('deadline', pidOf)
  await until('a spare one is tried for', () => tried === 1)
  proxy.lead(testDatabase.connection)
  assert.ok((await waiting) > 0)
  for (const { release, done } of holding) {
    release()
    await done
  }
})

test('connections that are idle while nothing comes back are not trusted: new ones are made', async () => {
  const proxy = await openProxy(testDatabase.connection)
  const pool = openPool({
    poolMax: 10,
    connection: { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port },
  })
  after(() => proxy.close())
  const idle = 9
  const holding = await Promise.all(Array.from({ length: idle }, () => hold(pool)))
  for (const { release } of holding) release()
  await Promise.all(holding.map(({ done }) => done))
  proxy.silence()
  const sent: Promise<number>[] = []
  let served = false
  while (!served) {
    const work = pool.lend('deadline', pidOf)
    sent.push(work)
    const isServed = work.then(
      () => true,
      () => false,
    )
    served = await Promise.race([isServed, delay(250, false)])
  }
  assert.ok(sent.length < idle, `${sent.length} sent`)
  for (const hanging of sent.slice(0, -1)) await assert.rejects(hanging, unavailable)
})

test('when the pool closes, who waits is told so at once, and what is lent may end', async () => {
  const pool = new Pool({ connection: testDatabase.connection, poolMax: 1 })
  const first = await hold(pool)
  const waiting = pool.lend('deadline', pidOf)
  const closing = pool.close()
  await assert.rejects(waiting, unavailable)
  await assert.rejects(pool.lend('deadline', pidOf), unavailable)
  first.release()
  assert.ok((await first.done) > 0)
  await closing
})
