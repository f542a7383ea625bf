import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { type Accounts, openAccounts } from '../../src/accounts/accounts.ts'
import { appRole } from '../../src/db/scope.ts'
import { testSecret } from '../support/app.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { ask, signUp, startAccounts, tokenOf } from './service.ts'

const otherSecret = 'Zp4-another-secret-of-the-suite-8Yq2Lw'
const silent = { debug() {}, info() {}, warn() {}, error() {} }

function open({ connection }: Pick<TestDatabase, 'connection'>): Accounts {
  const accounts = openAccounts({
    connection,
    secrets: [testSecret],
    publicUrl: undefined,
    onUserDeleted: async () => {},
    logger: silent,
  })
  after(() => accounts.close())
  return accounts
}

async function countKeys(testDatabase: TestDatabase): Promise<number> {
  return (await testDatabase.query('select from auth.jwks')).length
}

test('first starts at once on one empty database make one schema and one key', async () => {
  const testDatabase = await createTestDatabase({ empty: true })
  const starting = Array.from({ length: 5 }, () => open(testDatabase))
  const made = await Promise.all(starting.map((accounts) => accounts.prepare()))
  const first = made.filter((names) => names.length > 0)
  assert.deepEqual(
    first.map((names) => names.toSorted()),
    [['auth.account', 'auth.erasure', 'auth.jwks', 'auth.session', 'auth.user', 'auth.verification']],
  )
  assert.equal(await countKeys(testDatabase), 1)
  const keys = await Promise.all(starting.map((accounts) => accounts.loadKeys()))
  for (const each of keys) assert.deepEqual(each, keys[0])
  assert.deepEqual(await starting[0]?.prepare(), [], 'and the second time there is nothing to do')
  assert.equal(await countKeys(testDatabase), 1)
  await Promise.all(starting.map((accounts) => accounts.close()))
  await testDatabase.drop()
})

test('a role that may only read and write rows serves what another role has made', async () => {
  const testDatabase = await createTestDatabase()
  await open(testDatabase).prepare()
  const role = `worker_${process.pid}`
  await testDatabase.query(`create role ${role} login password 'worker'`)
  await testDatabase.query(`grant usage on schema auth to ${role}`)
  await testDatabase.query(`grant select, insert, update, delete on all tables in schema auth to ${role}`)
  const accounts = open({ connection: { ...testDatabase.connection, user: role, password: 'worker' } })
  assert.deepEqual(await accounts.prepare(), [])
  await accounts.close()
  await testDatabase.query(`drop owned by ${role}; drop role ${role}`)
  await testDatabase.drop()
})

test('a first start that is cut off half way leaves nothing half made', async () => {
  const testDatabase = await createTestDatabase({ empty: true })
  await testDatabase.query(`create function public.refuse() returns event_trigger language plpgsql as
    $$ begin if tg_tag = 'CREATE INDEX' then raise 'cut off'; end if; end $$`)
  await testDatabase.query(
    'create event trigger refuse on ddl_command_start execute function public.refuse()',
  )
  const accounts = open(testDatabase)
  await assert.rejects(accounts.prepare(), /cut off/)
  const tables = await testDatabase.query(
    `select from information_schema.tables where table_schema = 'auth' and table_type = 'BASE TABLE'`,
  )
  assert.deepEqual(tables, [])
  await testDatabase.query('drop event trigger refuse')
  assert.equal((await accounts.prepare()).length, 6)
  await accounts.close()
  await testDatabase.drop()
})

test('the role of the scopes can neither see nor touch the schema of accounts', async () => {
  const { testDatabase } = await startAccounts()
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  try {
    await client.query(`set role ${appRole}`)
    const { rows } = await client.query<{ usage: boolean; create: boolean }>(
      `select has_schema_privilege('auth', 'usage') as usage, has_schema_privilege('auth', 'create') as create`,
    )
    assert.deepEqual(rows, [{ usage: false, create: false }])
    for (const table of ['"user"', 'session', 'account', 'verification', 'jwks', 'erasure']) {
      await assert.rejects(client.query(`select from auth.${table}`), /permission denied for schema auth/)
    }
    const readable = await client.query(
      `select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'auth'
       where c.relkind = 'r' and has_table_privilege(c.oid, 'select,insert,update,delete')`,
    )
    assert.deepEqual(readable.rows, [])
  } finally {
    await client.end()
  }
})

test('after the secret was changed tokens are given again, with a new key, and those given before stay good', async () => {
  const before = await startAccounts()
  const account = await signUp(before)
  const headers = await tokenOf(before, account)
  const { testDatabase } = before
  const now = await startAccounts({ testDatabase, secrets: [otherSecret] })
  assert.ok(now.logs.some(({ level, msg }) => level === 40 && /secret has changed/.test(String(msg))))
  assert.equal(await countKeys(testDatabase), 2)
  assert.equal((await ask(now.url, 'GET', '/api/me/tasks', { headers })).status, 200)
  const signedIn = await ask(now.url, 'POST', '/api/auth/sign-in/email', { json: account })
  const bearer = { authorization: `Bearer ${signedIn.body.token}` }
  const next = await tokenOf(now, { ...account, bearer })
  assert.equal((await ask(now.url, 'GET', '/api/me/tasks', { headers: next })).status, 200)

  // The retired key is forgotten once no token of it can be good.
  await testDatabase.query(
    `update auth.jwks set "expiresAt" = now() - interval '61 minutes' where "expiresAt" is not null`,
  )
  const { keys } = (await now.accounts.loadKeys()) as { keys: unknown[] }
  assert.equal(keys.length, 1)
})

test('with the older secret listed beside the new one, the key stays the same', async () => {
  const before = await startAccounts()
  const { testDatabase } = before
  const secrets = [otherSecret, testSecret]
  const now = await startAccounts({ testDatabase, secrets })
  assert.equal(await countKeys(testDatabase), 1)
  await tokenOf(now, await signUp(now))
})

test('private keys are stored encrypted, and passwords hashed', async () => {
  const service = await startAccounts()
  const { email, password } = await signUp(service)
  const [key] = await service.testDatabase.query<{ privateKey: string; publicKey: string }>(
    'select "privateKey", "publicKey" from auth.jwks',
  )
  assert.match(key?.privateKey ?? '', /^"\$ba\$\d+\$[0-9a-f]+"$/)
  assert.doesNotMatch(key?.publicKey ?? '', /"d"/)
  const [row] = await service.testDatabase.query<{ password: string }>(
    `select a.password from auth.account a join auth."user" u on u.id = a."userId" where u.email = $1`,
    [email],
  )
  assert.match(row?.password ?? '', /^[0-9a-f]{32}:[0-9a-f]{128}$/)
  assert.ok(!row?.password.includes(password))
})

test('a role that may not make the schema is told what to do', async () => {
  const testDatabase = await createTestDatabase()
  const role = `limited_${process.pid}`
  await testDatabase.query(`create role ${role} login password 'limited'`)
  const accounts = open({ connection: { ...testDatabase.connection, user: role, password: 'limited' } })
  await assert.rejects(accounts.prepare(), /lacks rights to make the schema auth: .*ACCOUNTS=off/)
  await accounts.close()
  await testDatabase.query(`drop role ${role}`)
  await testDatabase.drop()
})
