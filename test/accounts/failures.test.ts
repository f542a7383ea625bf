import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { createTestDatabase } from '../support/database.ts'
import { eventually } from '../support/process.ts'
import { openProxy } from '../support/proxy.ts'
import { ask, signUp, startAccounts } from './service.ts'

// Accounts when their database is away: 503 within 5 s, nobody signed out, and back by themselves.

const testDatabase = await createTestDatabase()
const proxy = await openProxy(testDatabase.connection)
const { database, user, password } = testDatabase.connection
const connection = { host: '127.0.0.1', port: proxy.port, database, user, password }
test.after(async () => {
  await proxy.close()
})

const service = await startAccounts({ testDatabase, connection: definedOf(connection) })
test.after(() => testDatabase.drop())
const { url } = service

/** pg takes a password of undefined for one that is missing. */
function definedOf<T extends object>(options: T) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

test('while the database is away every route answers 503, also those that would take it for no session', async () => {
  const account = await signUp(service)
  proxy.refuse()
  try {
    for (const [method, path, json] of [
      ['GET', '/api/auth/get-session', undefined],
      ['GET', '/api/auth/token', undefined],
      ['GET', '/api/auth/jwks', undefined],
      ['GET', '/api/auth/list-sessions', undefined],
      ['POST', '/api/auth/sign-in/email', { email: account.email, password: account.password }],
      ['POST', '/api/auth/sign-up/email', { name: 'x', email: 'late@example.com', password: 'a-good-one' }],
      ['POST', '/api/auth/sign-out', {}],
      ['POST', '/api/auth/delete-user', { password: account.password }],
      ['POST', '/api/auth/update-user', { name: 'x' }],
    ] as const) {
      const startedAt = performance.now()
      const answer = await ask(url, method, path, { headers: account.bearer, json })
      assert.deepEqual([answer.status, answer.body.code], [503, 'DATABASE_UNAVAILABLE'], path)
      assert.equal(answer.headers.get('retry-after'), '1')
      assert.deepEqual(answer.headers.getSetCookie(), [], path)
      assert.ok(performance.now() - startedAt < 5_000, path)
    }
    await assert.rejects(service.accounts.loadKeys(), { code: 'DATABASE_UNAVAILABLE' })
  } finally {
    proxy.forward()
  }
  const back = await eventually(async () => {
    const session = await ask(url, 'GET', '/api/auth/get-session', { headers: account.bearer })
    return session.status === 200 && session
  }, 2_000)
  assert.equal(back.body.user.id, account.userId, 'the session is still there')
  assert.equal((await ask(url, 'POST', '/api/auth/sign-in/email', { json: account })).status, 200)
})

test('a statement that does not come back is 503 within 5 s, and the next request has a sound connection', async () => {
  const account = await signUp(service)
  const holder = new pg.Client(testDatabase.connection)
  await holder.connect()
  await holder.query('begin; lock table auth.session in access exclusive mode')
  const startedAt = performance.now()
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => ask(url, 'GET', '/api/auth/get-session', { headers: account.bearer })),
  )
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array(6).fill(503),
  )
  assert.ok(performance.now() - startedAt < 5_000)
  await holder.end()
  const after = await ask(url, 'GET', '/api/auth/get-session', { headers: account.bearer })
  assert.equal(after.body.user.id, account.userId)
})

test('a connection that ends between two statements of a sign-up is 503, and the process lives on', async () => {
  const json = { name: 'Ada', email: 'cut@example.com', password: 'a-good-one' }
  // The password is hashed within the transaction.
  const signingUp = ask(url, 'POST', '/api/auth/sign-up/email', { json })
  await eventually(async () => {
    const ended = await testDatabase.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'backend-core-accounts' and state = 'idle in transaction' and datname = current_database()`,
    )
    return ended.length > 0
  })
  const cut = await signingUp
  assert.deepEqual([cut.status, cut.body.code], [503, 'DATABASE_UNAVAILABLE'])
  assert.equal(
    (await ask(url, 'POST', '/api/auth/sign-up/email', { json })).status,
    200,
    'nothing was stored',
  )
})

test('until accounts are prepared they are 503, and /ready says what is missing', async () => {
  const fresh = await createTestDatabase()
  const early = await startAccounts({ testDatabase: fresh, prepare: false })
  const json = { name: 'Ada', email: 'ada@example.com', password: 'a-good-one' }
  const refused = await ask(early.url, 'POST', '/api/auth/sign-up/email', { json })
  assert.deepEqual([refused.status, refused.body.code], [503, 'DATABASE_UNAVAILABLE'])
  await assert.rejects(early.accounts.loadKeys(), { code: 'DATABASE_UNAVAILABLE' })
  const ready = await ask(early.url, 'GET', '/ready')
  assert.equal(ready.status, 503)
  assert.match(ready.text, /accounts are not prepared yet/)
  await early.accounts.prepare()
  assert.equal((await ask(early.url, 'GET', '/ready')).status, 200)
  assert.equal((await ask(early.url, 'POST', '/api/auth/sign-up/email', { json })).status, 200)
  await early.stop()
  await fresh.drop()
})

test('a database that is away when accounts are prepared can be tried again', async () => {
  const fresh = await createTestDatabase()
  const late = await startAccounts({ testDatabase: fresh, connection: definedOf(connection), prepare: false })
  proxy.refuse()
  await assert.rejects(late.accounts.prepare(), { code: 'DATABASE_UNAVAILABLE' })
  proxy.forward()
  await late.accounts.prepare()
  assert.equal((await ask(late.url, 'GET', '/api/auth/jwks')).status, 200)
  await late.stop()
  await fresh.drop()
})

test('after a failover none of the connections to the server of before is used again', async () => {
  const own = await createTestDatabase()
  const service = await startAccounts({ testDatabase: own })
  const account = await signUp(service)
  const setReadOnly = async (value: string) => {
    await own.query(`begin read write; alter database ${own.name} ${value}; commit`)
  }
  const ofAccounts = `from pg_stat_activity where application_name = 'backend-core-accounts' and datname = current_database()`
  // What a server that took over leaves behind: connections that take no writes, several of them, though new ones do.
  await setReadOnly('set default_transaction_read_only = on')
  const session = () => ask(service.url, 'GET', '/api/auth/get-session', { headers: account.bearer })
  await eventually(async () => {
    await own.query(`select pg_terminate_backend(pid) ${ofAccounts}`)
    await Promise.all(Array.from({ length: 8 }, session))
    const [found] = await own.query<{ count: number }>(`select count(*)::int as count ${ofAccounts}`)
    return found !== undefined && found.count >= 3
  })
  await setReadOnly('reset default_transaction_read_only')
  const statuses: number[] = []
  for (const n of [1, 2, 3, 4]) {
    const json = { name: 'Ada', email: `after-${n}@example.com`, password: 'a-good-one' }
    statuses.push((await ask(service.url, 'POST', '/api/auth/sign-up/email', { json })).status)
  }
  assert.deepEqual(statuses, [503, 200, 200, 200])
  await service.stop()
  await own.drop()
})
