import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import pg from 'pg'
import { type Database, openDatabase } from '../../src/db/database.ts'
import { migrate, pendingMigrations } from '../../src/db/migrate.ts'
import { findTask } from '../../src/tasks/store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const all = (await readdir(new URL('../../migrations/', import.meta.url))).sort()

type Place = {
  readonly testDatabase: TestDatabase
  readonly client: pg.Client
  /** Another connection. */
  connect(): Promise<pg.Client>
  /** The service's own view of it. */
  open(): Database
}

/** A database of the test's own, and a connection to it. */
async function make(t: TestContext, options: { empty: boolean }): Promise<Place> {
  const cleanup = new AsyncDisposableStack()
  t.after(() => cleanup.disposeAsync())
  const testDatabase = await createTestDatabase(options)
  cleanup.defer(() => testDatabase.drop())
  const connect = async () => {
    const client = new pg.Client(testDatabase.connection)
    await client.connect()
    cleanup.defer(() => client.end())
    return client
  }
  const open = () => {
    const database = openDatabase({ connection: testDatabase.connection, poolMax: 1 })
    cleanup.defer(() => database.close())
    return database
  }
  return { testDatabase, client: await connect(), connect, open }
}

/** Everything that is in a database besides what PostgreSQL itself puts there. */
async function contentsOf({ query }: TestDatabase): Promise<unknown> {
  const own = `not in ('pg_catalog', 'information_schema', 'pg_toast')`
  return {
    schemas: await query(`select nspname from pg_namespace where nspname ${own} order by 1`),
    objects: await query(
      `select nspname, relname, relkind, relacl::text, relrowsecurity, relforcerowsecurity from pg_class c
      join pg_namespace n on n.oid = relnamespace where nspname ${own} order by 1, 2`,
    ),
    policies: await query('select * from pg_policies order by 1, 2, 3'),
  }
}

test('an empty database gets every migration, in order, and a second time none', async (t) => {
  const { client, testDatabase } = await make(t, { empty: true })
  assert.deepEqual(await pendingMigrations(client), all)
  assert.deepEqual(await migrate(client), all)
  assert.deepEqual(await pendingMigrations(client), [])
  const contents = await contentsOf(testDatabase)
  const recorded = await testDatabase.query('select * from app.migrations order by version')
  assert.deepEqual(
    recorded.map(({ name }) => name),
    all,
  )
  assert.deepEqual(await migrate(client), [])
  assert.deepEqual(await contentsOf(testDatabase), contents)
  assert.deepEqual(await testDatabase.query('select * from app.migrations order by version'), recorded)
})

test('of five instances that start at once on an empty database one migrates, and all go on', async (t) => {
  const { testDatabase, connect } = await make(t, { empty: true })
  const clients = await Promise.all([1, 2, 3, 4, 5].map(connect))
  const applied = await Promise.all(clients.map(migrate))
  assert.deepEqual(
    applied.filter((names) => names.length > 0),
    [all],
  )
  assert.equal((await testDatabase.query('select from app.migrations')).length, all.length)
})

test('an instance waits for another that is migrating, and finds its work done', async (t) => {
  const { client, testDatabase, connect } = await make(t, { empty: true })
  const first = await connect()
  // Holds the lock as a migration under way does: 0x62636d69.
  await first.query('begin')
  await first.query('select pg_advisory_xact_lock(1650683241)')
  const second = migrate(client)
  await waiting(testDatabase)
  assert.deepEqual(await testDatabase.query(`select to_regclass('app.migrations') as found`), [
    { found: null },
  ])
  await first.query('commit')
  assert.deepEqual(await second, all)
})

test('a migration whose text changed after it was applied is refused by name', async (t) => {
  const { client, testDatabase } = await make(t, { empty: false })
  await testDatabase.query(`update app.migrations set checksum = md5(checksum) where version = 1`)
  const [name] = all
  const message = `Migration ${name} was changed after it was applied; restore its text.`
  await assert.rejects(migrate(client), { name: 'MigrationError', message })
  await assert.rejects(migrate(client), { name: 'MigrationError', message }, 'the connection is sound')
})

test('migrations of a newer version are left alone, and this version serves beside it', async (t) => {
  const { client, testDatabase, open } = await make(t, { empty: false })
  await testDatabase.query(`insert into app.migrations values (9999, '9999-later.sql', 'unknown')`)
  const before = await testDatabase.query('select * from app.migrations order by version')
  assert.deepEqual(await migrate(client), [])
  assert.deepEqual(await pendingMigrations(client), [])
  assert.deepEqual(await testDatabase.query('select * from app.migrations order by version'), before)
  const database = open()
  assert.deepEqual(await database.prepare(), [])
  assert.deepEqual(await database.missing(), [])
  assert.deepEqual(await findTask(database.scopeFor('a'), randomUUID()), undefined)
})

test('a migration that fails half way leaves nothing behind, and goes in once the cause is gone', async (t) => {
  const { client, testDatabase } = await make(t, { empty: true })
  // The tables come before the second index in the migration, whose name is taken.
  await testDatabase.query('create schema app')
  await testDatabase.query('create table app.tasks_by_completed_and_creation ()')
  const before = await contentsOf(testDatabase)
  await assert.rejects(migrate(client), { code: '42P07', message: /tasks_by_completed_and_creation/ })
  assert.deepEqual(await contentsOf(testDatabase), before)
  assert.deepEqual(await pendingMigrations(client), all)
  await testDatabase.query('drop table app.tasks_by_completed_and_creation')
  assert.deepEqual(await migrate(client), all)
})

test('a database that is not migrated is reported, migration by migration', async (t) => {
  const { testDatabase, open } = await make(t, { empty: true })
  const database = open()
  const missing = all.map((name) => `migration ${name} is not applied`)
  assert.deepEqual(await database.missing(), missing)
  assert.deepEqual(await database.prepare(), all)
  assert.deepEqual(await database.missing(), [])
  await testDatabase.query('delete from app.migrations')
  assert.deepEqual(await database.missing(), missing)
})

/** Waits until a connection of the database waits for a lock. */
async function waiting({ query }: TestDatabase): Promise<void> {
  const deadline = performance.now() + 5_000
  const blocked = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  while ((await query(blocked)).length === 0) assert.ok(performance.now() < deadline, 'none waits')
}
