import assert from 'node:assert/strict'
import dns from 'node:dns'
import { type TestContext, test } from 'node:test'
import { firstId, listForExport } from '../../src/tasks/transfer-store.ts'
import { newUser, startApp, type TestService } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { until } from '../support/embedded-place.ts'
import { type Proxy as DatabaseProxy, openProxy } from '../support/proxy.ts'
import { databaseAt, tell, timesOf, untilHealed } from './faults.ts'
import { type Pair, pairs } from './replicated-servers.ts'
import { startWriters } from './writers.ts'

// Another server takes over behind the same address: a primary, and a standby that has all that was acknowledged.

const writers = 8
/** More than the writers use: what is idle during the failover is asked after it. */
const largePool = 20
/** Fewer: none is idle. */
const smallPool = 6
const times = timesOf(1)
const hasSeveralLoopbackAddresses = process.platform === 'linux'

type FailOver = (pair: Pair, proxy: DatabaseProxy, service: TestService) => Promise<unknown>

/** Lets another server take over under writers, and checks what they were told. */
async function underWriters(
  t: TestContext,
  fault: string,
  failOver: FailOver,
  poolMax = largePool,
): Promise<number[]> {
  const makePair = await pairs(t)
  const healedMs: number[] = []
  const sums = { lost: 0, doubled: 0, unclaimed: 0, hung: 0 }
  for (let round = 0; round < times; round++) {
    const pair = await makePair()
    const proxy = await openProxy(pair.primary.connection)
    const connection = { ...pair.primary.connection, ssl: false, host: '127.0.0.1', port: proxy.port }
    const service = await startApp({ testDatabase: databaseAt(connection), poolMax })
    try {
      await fillPool(service)
      const running = startWriters(Array.from({ length: writers }, () => service.as(newUser())))
      await until('every writer writes', () => running.count() > writers * 2)
      await failOver(pair, proxy, service)
      healedMs.push(await untilHealed(service))
      const healed = running.count()
      await until('every writer writes again', () => running.count() > healed + writers * 2)
      const outcome = await running.finish()
      await fillPool(service)
      for (const name of ['lost', 'doubled', 'unclaimed', 'hung'] as const) sums[name] += outcome[name]
      assert.ok(outcome.failures > 0, 'the writers met the failover')
      const [{ standby } = {}] = await databaseAt(pair.standby.connection).query<{ standby: boolean }>(
        'select pg_is_in_recovery() as standby',
      )
      assert.equal(standby, false, 'the other server has taken over')
    } finally {
      await service.stop()
      await proxy.close()
      await Promise.all([pair.primary.end('SIGKILL'), pair.standby.end('SIGKILL')])
    }
  }
  tell(t, { fault, times, inFlight: writers, healedMs, ...sums })
  assert.deepEqual(sums, { lost: 0, doubled: 0, unclaimed: 0, hung: 0 })
  return healedMs
}

/** Has every connection of the pool but the spare one in use at the same time; each must serve. */
async function fillPool({ database }: TestService): Promise<void> {
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const size = database.usage.max - 1
  const all = Array.from({ length: size }, () =>
    database.scopeFor(newUser()).transaction(async (scope) => {
      await listForExport(scope, firstId, 1)
      await held
    }),
  )
  const allInUse = until('all are in use', () => database.usage.inUse === size)
  await Promise.race([allInUse, Promise.all(all)])
  release()
  await Promise.all(all)
  await allInUse
}

/** Writes are refused as long as the server that the address leads to is read-only; reads go on. */
async function meetReadOnly(service: TestService): Promise<void> {
  const user = service.as(newUser())
  await until('writes are refused', async () => {
    const { status, body } = await user.post('/api/me/tasks', { title: 'x' })
    assert.ok(status === 201 || body.error.code === 'DATABASE_UNAVAILABLE')
    return status === 503 && (await user.get('/api/me/tasks')).status === 200
  })
}

const promote = ({ standby }: Pair) => standby.sql('select pg_promote(true)')

test('the primary is killed and its standby promoted: served again within 2 s, nothing acknowledged is lost', async (t) => {
  const fault = 'primary killed, standby promoted behind the same address'
  const healedMs = await underWriters(t, fault, async (pair, proxy, service) => {
    await pair.primary.end('SIGKILL')
    proxy.lead(pair.standby.connection)
    await meetReadOnly(service)
    await promote(pair)
  })
  for (const each of healedMs) assert.ok(each < 2_000, `${each} ms`)
})

test('the primary becomes read-only and lives on: its connections are left for those of the server that took over', async (t) => {
  const fault = 'primary read-only with its connections open, standby promoted'
  const healedMs = await underWriters(t, fault, async (pair, proxy, service) => {
    await pair.primary.sql('alter system set default_transaction_read_only = on')
    await pair.primary.sql('select pg_reload_conf()')
    await meetReadOnly(service)
    await promote(pair)
    proxy.lead(pair.standby.connection)
  })
  for (const each of healedMs) assert.ok(each < 2_000, `${each} ms`)
})

for (const [poolMax, what] of [
  [largePool, 'its idle connections are not trusted'],
  [smallPool, 'while all connections wait for it, a spare one serves'],
] as const) {
  test(`the primary falls silent, and its standby is promoted: ${what}`, async (t) => {
    const fault = `primary silent with its connections open, standby promoted; ${poolMax} connections`
    const failOver: FailOver = async (pair, proxy) => {
      proxy.silence()
      proxy.lead(pair.standby.connection)
      await pair.primary.end('SIGKILL')
      await promote(pair)
    }
    const healedMs = await underWriters(t, fault, failOver, poolMax)
    for (const each of healedMs) assert.ok(each < 2_000, `${each} ms`)
  })
}

test('the name of the database leads to another address: served from there within 2 s', {
  skip: !hasSeveralLoopbackAddresses && 'only Linux has 127.0.0.2 without being told',
}, async (t) => {
  const testDatabase = await createTestDatabase()
  const old = await openProxy(testDatabase.connection)
  const other = await openProxy(testDatabase.connection, { host: '127.0.0.2', port: old.port })
  let address = '127.0.0.1'
  // Name resolution is the system's; here only the answer for one name is changed.
  const lookup = dns.lookup
  t.mock.method(dns, 'lookup', (name: string, ...rest: [never, never]) =>
    lookup(name === 'database.test' ? address : name, ...rest),
  )
  const connection = { ...testDatabase.connection, ssl: false, host: 'database.test', port: old.port }
  const service = await startApp({ testDatabase: { ...testDatabase, connection } })
  t.after(async () => {
    await service.stop()
    await Promise.all([old.close(), other.close()])
    await testDatabase.drop()
  })
  const running = startWriters(Array.from({ length: writers }, () => service.as(newUser())))
  const healedMs: number[] = []
  for (let round = 0; round < timesOf(5); round++) {
    const before = running.count()
    await until('every writer writes', () => running.count() > before + writers)
    const [left, taken] = address === '127.0.0.1' ? [old, other] : [other, old]
    left.refuse()
    taken.forward()
    address = address === '127.0.0.1' ? '127.0.0.2' : '127.0.0.1'
    healedMs.push(await untilHealed(service))
  }
  const outcome = await running.finish()
  const fault = "database's name leads to another address, the old one refuses"
  tell(t, { fault, times: healedMs.length, inFlight: writers, healedMs, ...outcome })
  const { lost, doubled, unclaimed, hung } = outcome
  assert.deepEqual({ lost, doubled, unclaimed, hung }, { lost: 0, doubled: 0, unclaimed: 0, hung: 0 })
  for (const each of healedMs) assert.ok(each < 2_000, `${each} ms`)
})
