import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import { after, type TestContext, test } from 'node:test'
import pg from 'pg'
import { toAppError } from '../../src/db/sqlstate.ts'
import { AppError } from '../../src/errors.ts'
import { createTestDatabase } from '../support/database.ts'

const testDatabase = await createTestDatabase()
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

/** What the server refuses a text with. */
async function errorOf(...texts: string[]): Promise<pg.DatabaseError> {
  try {
    for (const text of texts) await client.query(text)
  } catch (error) {
    assert.ok(error instanceof pg.DatabaseError)
    return error
  } finally {
    await client.query('rollback')
  }
  return assert.fail('the server refused nothing')
}

/** What connecting fails with. */
async function connectionError(connection: pg.ClientConfig): Promise<unknown> {
  const failing = new pg.Client(connection)
  failing.on('error', () => {})
  return failing.connect().then(
    () => assert.fail('it connected'),
    (error: unknown) => error,
  )
}

function assertUnavailable(error: unknown): void {
  const mapped = toAppError(error)
  assert.ok(mapped instanceof AppError, String(error))
  assert.deepEqual([mapped.code, mapped.status], ['DATABASE_UNAVAILABLE', 503])
  assert.deepEqual(mapped.headers, { 'retry-after': '1' })
  assert.equal(mapped.cause, error)
}

const insert = `insert into app.change_counters values ('a', 1)`

for (const [what, code, ...texts] of [
  ['a time-out', '57014', `set local statement_timeout = 1`, 'select pg_sleep(60)'],
  ['a read-only server', '25006', 'set transaction read only', insert],
  ['a lock that is not to be had', '55P03', `lock app.tasks in access exclusive mode nowait`],
] as const) {
  test(`${what} is DATABASE_UNAVAILABLE`, async (t) => {
    const other = new pg.Client(testDatabase.connection)
    await other.connect()
    t.after(() => other.end())
    await other.query('begin; lock app.tasks in access share mode')
    const error = await errorOf('begin', ...texts)
    assert.equal(error.code, code)
    assertUnavailable(error)
  })
}

test('every other way of the server to be unable to serve is DATABASE_UNAVAILABLE', async () => {
  for (const code of [
    ...['08000', '08003', '08006', '08P01'],
    ...['53000', '53100', '53200', '53300', '53400'],
    ...['57P01', '57P02', '57P03', '57P04', '57P05'],
    ...['58000', '58030', '58P01'],
    ...['40000', '40001', '40002', '40003', '40P01'],
    ...['28000', '28P01', '3D000'],
  ]) {
    const error = await errorOf(`do $$ begin raise exception using errcode = '${code}'; end $$`)
    assert.equal(error.code, code)
    assertUnavailable(error)
  }
})

test('what a statement itself did wrong comes back as it is', async () => {
  for (const [code, text] of [
    ['22012', 'select 1 / 0'],
    ['22P02', `select 'x'::uuid`],
    ['23505', `${insert}; ${insert}`],
    ['23502', 'insert into app.change_counters values (null, 1)'],
    ['23514', `insert into app.change_counters values ('', 1)`],
    ['42501', `set role backend_core_app; select * from app.migrations`],
    ['42601', 'selec 1'],
    ['42P01', 'select * from app.missing'],
    ['42703', 'select missing from app.tasks'],
    ['P0001', `do $$ begin raise 'x'; end $$`],
    ['57000', `do $$ begin raise exception using errcode = '57000'; end $$`],
    ['25P02', `do $$ begin raise exception using errcode = '25P02'; end $$`],
    ['XX000', `do $$ begin raise exception using errcode = 'XX000'; end $$`],
  ] as const) {
    const error = await errorOf(text)
    assert.equal(error.code, code)
    assert.equal(toAppError(error), error)
  }
})

/** A server that answers the first words of each connection, or ends it. @returns its port, closed after the test */
async function listen(t: TestContext, answer: string | undefined): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (answer === undefined) socket.destroy()
    else socket.once('data', () => socket.write(answer))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('a server that cannot be reached or refuses the login is DATABASE_UNAVAILABLE', async (t) => {
  const { connection } = testDatabase
  const local = { ...connection, ssl: false, host: '127.0.0.1' }
  assertUnavailable(await connectionError({ ...local, port: await listen(t, undefined) }))
  const refused = await connectionError({ ...local, port: 1 })
  assert.ok(refused instanceof Error && 'code' in refused && refused.code === 'ECONNREFUSED')
  assertUnavailable(refused)
  assertUnavailable(await connectionError({ ...local, host: 'localhost', port: 1 }))
  assertUnavailable(await connectionError({ ...local, host: '/no-such-folder' }))
  assertUnavailable(await connectionError({ ...connection, database: 'no_such_database' }))
  assertUnavailable(await connectionError({ ...connection, user: 'no_such_role', password: 'x' }))
  // N: the server's word for no TLS.
  assertUnavailable(await connectionError({ ...local, ssl: true, port: await listen(t, 'N') }))
})

test('a server that does not answer a query in time is DATABASE_UNAVAILABLE', async (t) => {
  const slow = new pg.Client(testDatabase.connection)
  await slow.connect()
  t.after(() => slow.end())
  const query = { text: 'select pg_sleep(60)', query_timeout: 10 }
  await assert.rejects(slow.query(query), (error) => {
    assertUnavailable(error)
    return true
  })
})

test('a pool that has no connection to give is DATABASE_UNAVAILABLE', async () => {
  const pool = new pg.Pool({ ...testDatabase.connection, max: 1 })
  const only = await pool.connect()
  // Only now, or a slow first connection would run into it.
  pool.options.connectionTimeoutMillis = 10
  await assert.rejects(pool.connect(), (error) => {
    assertUnavailable(error)
    return true
  })
  only.release()
  await pool.end()
})

test('every error of the network and of TLS is DATABASE_UNAVAILABLE, also as one of several', () => {
  for (const code of [
    ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'],
    ...['EHOSTUNREACH', 'ENETUNREACH', 'ENOENT'],
    ...['CERT_HAS_EXPIRED', 'SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_WRONG_VERSION_NUMBER'],
  ]) {
    const error = Object.assign(new Error('x'), { code })
    assertUnavailable(error)
    assertUnavailable(new AggregateError([new Error('x'), error]))
  }
})

test('anything else comes back as it is', () => {
  const own = new AppError('TASK_NOT_FOUND')
  const other = Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const error of [own, other, new TypeError('x'), new AggregateError([other]), 'a text', undefined]) {
    assert.equal(toAppError(error), error)
  }
})
