import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Accounts, openAccounts } from '../../src/accounts/accounts.ts'
import { databaseUnavailable } from '../../src/db/sqlstate.ts'
import { eraseData } from '../../src/tasks/erase.ts'
import { testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { addressOf, eventually, startService } from '../support/process.ts'
import { type Account, ask, signUp, startAccounts, tokenOf } from './service.ts'

// Deleting an account erases its user's tasks: before it, so that a failure leaves no task without an owner, and once
// more after the last token has expired.

let failure: Error | undefined
const erased: string[] = []
const service = await startAccounts({
  async onUserDeleted(userId) {
    if (failure !== undefined) throw failure
    erased.push(userId)
    await eraseData(service.database.scopeFor(userId))
  },
})
const { url, testDatabase } = service

async function addTasks(account: Account, count: number): Promise<void> {
  const headers = await tokenOf(service, account)
  for (let index = 0; index < count; index++) {
    const created = await ask(url, 'POST', '/api/me/tasks', { headers, json: { title: `Task ${index}` } })
    assert.equal(created.status, 201)
  }
}

async function countTasks({ userId }: Account): Promise<number> {
  const [row] = await testDatabase.query<{ n: number }>(
    'select count(*)::int as n from app.tasks where user_id = $1',
    [userId],
  )
  return row?.n ?? 0
}

function deleteAccount({ bearer, password }: Account) {
  return ask(url, 'POST', '/api/auth/delete-user', { headers: bearer, json: { password } })
}

/** What is left of an account in the tables of accounts. */
async function traces({ userId }: Account): Promise<string[]> {
  const rows = await testDatabase.query<{ place: string }>(
    `select 'user' as place from auth."user" where id = $1
     union all select 'account' from auth.account where "userId" = $1
     union all select 'session' from auth.session where "userId" = $1`,
    [userId],
  )
  return rows.map(({ place }) => place)
}

test('deleting an account erases its tasks, sessions and password, and nothing of anyone else', async () => {
  const [ada, bea] = [await signUp(service), await signUp(service)]
  await addTasks(ada, 3)
  await addTasks(bea, 2)
  const deleted = await deleteAccount(ada)
  assert.deepEqual([deleted.status, deleted.body.success], [200, true])
  assert.equal(await countTasks(ada), 0)
  assert.deepEqual(await traces(ada), [])
  assert.equal(await countTasks(bea), 2)
  assert.deepEqual(await traces(bea), ['user', 'account', 'session'])
  assert.deepEqual(erased, [ada.userId])
  assert.equal((await ask(url, 'GET', '/api/auth/token', { headers: ada.bearer })).status, 401)
  assert.equal((await ask(url, 'POST', '/api/auth/sign-in/email', { json: ada })).status, 401)
  assert.equal((await ask(url, 'POST', '/api/auth/sign-in/email', { json: bea })).status, 200)
})

test('a wrong password, no session, or another account deletes nothing', async () => {
  const account = await signUp(service)
  await addTasks(account, 1)
  const wrong = { headers: account.bearer, json: { password: 'wrong-one' } }
  assert.equal((await ask(url, 'POST', '/api/auth/delete-user', wrong)).status, 400)
  assert.equal((await ask(url, 'POST', '/api/auth/delete-user', { json: account })).status, 401)
  const other = await signUp(service)
  const mixed = { headers: other.bearer, json: { password: account.password, userId: account.userId } }
  assert.equal((await ask(url, 'POST', '/api/auth/delete-user', mixed)).status, 400)
  assert.equal(await countTasks(account), 1)
  assert.deepEqual(await traces(account), ['user', 'account', 'session'])
})

test('a session of a day ago needs the password', async () => {
  const account = await signUp(service)
  await testDatabase.query(
    `update auth.session set "createdAt" = now() - interval '25 hours' where "userId" = $1`,
    [account.userId],
  )
  const { status, body } = await ask(url, 'POST', '/api/auth/delete-user', {
    headers: account.bearer,
    json: {},
  })
  assert.deepEqual([status, body.code], [400, 'SESSION_EXPIRED'])
  assert.equal((await deleteAccount(account)).status, 200)
})

for (const [name, cause, status, code] of [
  ['the database is away', databaseUnavailable(new Error('away')), 503, 'DATABASE_UNAVAILABLE'],
  ['it fails', new Error('secret detail of the failure'), 500, 'INTERNAL_ERROR'],
] as const) {
  test(`when the tasks cannot be erased because ${name}, the account stays as it was`, async () => {
    const account = await signUp(service)
    await addTasks(account, 2)
    failure = cause
    try {
      const answer = await deleteAccount(account)
      assert.deepEqual([answer.status, answer.body.code], [status, code])
      assert.doesNotMatch(answer.text, /secret/)
    } finally {
      failure = undefined
    }
    assert.deepEqual(await traces(account), ['user', 'account', 'session'])
    assert.equal(await countTasks(account), 2)
    assert.equal((await deleteAccount(account)).status, 200)
    assert.deepEqual([await traces(account), await countTasks(account)], [[], 0])
  })
}

test('when the account cannot be deleted after its tasks, it is whole and can be deleted again', async () => {
  const account = await signUp(service)
  await addTasks(account, 1)
  await testDatabase.query('alter table auth.erasure rename to erasure_away')
  try {
    assert.equal((await deleteAccount(account)).status, 500)
  } finally {
    await testDatabase.query('alter table auth.erasure_away rename to erasure')
  }
  assert.deepEqual(await traces(account), ['user', 'account', 'session'])
  assert.equal((await deleteAccount(account)).status, 200)
  assert.deepEqual(await traces(account), [])
})

test('what a token created after its account was gone is erased once the token has expired', async () => {
  const account = await signUp(service)
  const headers = await tokenOf(service, account)
  assert.equal((await deleteAccount(account)).status, 200)
  const late = await ask(url, 'POST', '/api/me/tasks', { headers, json: { title: 'Late' } })
  assert.equal(late.status, 201, 'a token is good until it expires')
  const [due] = await testDatabase.query<{ minutes: number }>(
    `select extract(epoch from due_at - now())::int / 60 as minutes from auth.erasure where user_id = $1`,
    [account.userId],
  )
  assert.ok(due !== undefined && due.minutes >= 20 && due.minutes <= 30)

  // Half an hour later, another instance starts.
  const bystander = await signUp(service)
  await addTasks(bystander, 1)
  const early = await startAnother()
  await early.close()
  assert.equal(await countTasks(account), 1, 'not before it is due')
  await testDatabase.query('update auth.erasure set due_at = now()')
  const next = await startAnother()
  await eventually(async () => (await countTasks(account)) === 0)
  await eventually(async () => (await testDatabase.query('select from auth.erasure')).length === 0)
  await next.close()
  assert.equal(await countTasks(bystander), 1)
})

test('an erasure that fails the second time is tried again, and holds up no other', async () => {
  const [first, second] = [await signUp(service), await signUp(service)]
  for (const account of [first, second]) {
    const headers = await tokenOf(service, account)
    assert.equal((await deleteAccount(account)).status, 200)
    await ask(url, 'POST', '/api/me/tasks', { headers, json: { title: 'Late' } })
    await testDatabase.query('update auth.erasure set due_at = now() where user_id = $1', [account.userId])
  }
  const warnings: string[] = []
  const failing = await startAnother(async (userId) => {
    if (userId === first.userId) throw new Error('no')
    await eraseData(service.database.scopeFor(userId))
  }, warnings)
  await eventually(async () => (await countTasks(second)) === 0)
  await failing.close()
  assert.equal(await countTasks(first), 1)
  assert.deepEqual(warnings, ['accounts: erasing again failed; it is tried again'])
  const next = await startAnother()
  await eventually(async () => (await countTasks(first)) === 0)
  await next.close()
})

test('the service as a process erases tasks with the account', async () => {
  const own = await createTestDatabase()
  const running = await startService({
    DATABASE_URL: addressOf(own.connection),
    BETTER_AUTH_SECRET: testSecret,
    ACCOUNTS: 'inside',
  })
  const account = await signUp(running)
  await own.query(`insert into app.change_counters (user_id, version) values ($1, 1), ('somebody', 1)`, [
    account.userId,
  ])
  await own.query(
    `insert into app.tasks (user_id, id, title, completed, created_at, updated_at, version)
     select u, gen_random_uuid(), 'A task', false, now(), now(), 1 from unnest(array[$1, 'somebody']) u`,
    [account.userId],
  )
  const json = { password: account.password }
  const deleted = await ask(running.url, 'POST', '/api/auth/delete-user', { headers: account.bearer, json })
  assert.equal(deleted.status, 200)
  assert.deepEqual(await own.query('select user_id from app.tasks'), [{ user_id: 'somebody' }])
  assert.equal((await running.end('SIGTERM')).code, 0)
  await own.drop()
})

/** Another instance on the same database, prepared. */
async function startAnother(
  onUserDeleted = async (userId: string) => {
    await eraseData(service.database.scopeFor(userId))
  },
  warnings: string[] = [],
): Promise<Accounts> {
  const { connection } = testDatabase
  const logger = {
    debug() {},
    info() {},
    warn(_fields: object, message: string) {
      warnings.push(message)
    },
    error() {},
  }
  const accounts = openAccounts({
    connection,
    secrets: [testSecret],
    publicUrl: undefined,
    onUserDeleted,
    logger,
  })
  await accounts.prepare()
  return accounts
}
