import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import pg from 'pg'
import { type Database, openDatabase } from '../../src/db/database.ts'
import { MigrationError } from '../../src/db/migrate.ts'
import { verifyWall, WallError } from '../../src/db/wall.ts'
import { findTask, insertTask } from '../../src/tasks/store.ts'
import { newUser } from '../support/app.ts'
import { cluster, createTestDatabase, type TestDatabase } from '../support/database.ts'
import { Place } from '../support/embedded-place.ts'

// The service refuses a database whose third wall has a hole, and says which.

const migrations = (await readdir(new URL('../../migrations/', import.meta.url))).sort()
const newTask = {
  id: '0f7b1c2e-6d1a-4c3b-9e52-7c1d2f3a4b5c',
  title: 'x',
  description: null,
  completed: false,
}

/** What a test has to take down, last things first. */
function cleanupOf(t: TestContext): AsyncDisposableStack {
  const cleanup = new AsyncDisposableStack()
  t.after(() => cleanup.disposeAsync())
  return cleanup
}

async function makeDatabase(cleanup: AsyncDisposableStack): Promise<TestDatabase> {
  const testDatabase = await createTestDatabase()
  cleanup.defer(() => testDatabase.drop())
  return testDatabase
}

function open(cleanup: AsyncDisposableStack, connection: pg.ClientConfig): Database {
  const database = openDatabase({ connection, poolMax: 1 })
  cleanup.defer(() => database.close())
  return database
}

/** Checks that a database is served from: a task goes in and comes out. */
async function assertServes(database: Database): Promise<void> {
  const scope = database.scopeFor(newUser())
  await insertTask(scope, newTask)
  assert.equal((await findTask(scope, newTask.id))?.title, 'x')
  assert.deepEqual(await database.missing(), [])
}

async function assertRefuses(database: Database, problem: RegExp): Promise<void> {
  const refusal = { name: 'WallError', message: problem }
  await assert.rejects(database.prepare(), refusal)
  await assert.rejects(findTask(database.scopeFor(newUser()), newTask.id), { code: 'DATABASE_UNAVAILABLE' })
  assert.deepEqual(await database.missing(), ['the wall between users is not checked yet'])
  await assert.rejects(database.prepare(), refusal, 'a second try finds the same')
}

test('a database as it was migrated is served from', async (t) => {
  const cleanup = cleanupOf(t)
  const database = open(cleanup, (await makeDatabase(cleanup)).connection)
  assert.deepEqual(await database.prepare(), [])
  await assertServes(database)
})

const ownUser = `user_id = current_setting('app.user_id', true)`

describe('each in a database of its own', { concurrency: 4 }, () => {
  for (const [what, tampering, problem] of [
    [
      'row-level security that is off',
      'alter table app.tasks disable row level security',
      /row-level security of app\.tasks is not forced/,
    ],
    [
      'row-level security that is not forced',
      'alter table app.change_counters no force row level security',
      /row-level security of app\.change_counters is not forced/,
    ],
    [
      'a view on tasks that the role may read',
      'create view app.everything as select * from app.tasks; grant select on app.everything to backend_core_app',
      /may use app\.everything, which is no table with row-level security/,
    ],
    [
      'a materialized view that the role may read',
      'create materialized view app.copies as select * from app.tasks; grant select on app.copies to public',
      /may use app\.copies/,
    ],
    [
      'the right to empty a table',
      'grant truncate on app.tasks to public',
      /may empty app\.tasks, which no policy stops/,
    ],
    [
      'a function with the rights of its owner',
      "create function app.spy() returns bigint language sql security definer as 'select count(*) from app.tasks'",
      /may call app\.spy\(\), which runs with the rights of its owner/,
    ],
    ['a dropped policy', 'drop policy own_rows on app.tasks', /app\.tasks has no policy/],
    [
      'a second policy that lets everything through',
      'create policy everything on app.tasks using (true)',
      /policy everything on app\.tasks does not compare/,
    ],
    [
      'an observer that may read text',
      'grant select (title) on app.tasks to backend_core_observer',
      /role backend_core_observer may read column title of app\.tasks/,
    ],
    [
      'an observer that may read whole rows',
      'grant select on app.tasks to backend_core_observer',
      /may read column id of app\.tasks; .*may read column description of app\.tasks/,
    ],
    [
      'an observer that may change something',
      'grant update (version) on app.change_counters to backend_core_observer',
      /role backend_core_observer may change app\.change_counters/,
    ],
    [
      'an observer that may delete',
      'grant delete on app.tasks to backend_core_observer',
      /role backend_core_observer may change app\.tasks/,
    ],
    [
      "a policy of the observer's for more than reading",
      'create policy more on app.tasks to backend_core_observer using (true)',
      /policy more on app\.tasks does not compare/,
    ],
    [
      "a policy of the observer's that the other role shares",
      'alter policy observed on app.tasks to backend_core_observer, backend_core_app',
      /policy observed on app\.tasks does not compare/,
    ],
    [
      'a second policy that lets everything be read',
      'create policy reading on app.tasks for select using (true)',
      /policy reading on app\.tasks does not compare/,
    ],
    [
      'a second policy that lets everything be written',
      'create policy writing on app.tasks for insert with check (true)',
      /policy writing on app\.tasks does not compare/,
    ],
    [
      'a policy that lets rows be moved to others',
      'alter policy own_rows on app.tasks with check (true)',
      /policy own_rows on app\.tasks does not compare/,
    ],
    [
      'a policy with a way round it',
      `alter policy own_rows on app.change_counters using (${ownUser} or version = 0)`,
      /policy own_rows on app\.change_counters does not compare/,
    ],
    [
      'a policy on another setting',
      `alter policy own_rows on app.tasks using (user_id = current_setting('app.user', true))`,
      /policy own_rows on app\.tasks does not compare/,
    ],
    [
      'a new table without a wall',
      'create table app.x (user_id text, note text)',
      /security of app\.x is not/,
    ],
    [
      'a new table without a policy',
      'create table app.x (user_id text); alter table app.x enable row level security, force row level security',
      /app\.x has no policy/,
    ],
    [
      'a new partitioned table without a wall',
      'create table app.x (user_id text) partition by hash (user_id)',
      /security of app\.x is not forced/,
    ],
    [
      'a table that the role owns',
      'alter table app.tasks owner to backend_core_app',
      /role backend_core_app owns app\.tasks/,
    ],
    ['a schema that the role owns', 'alter schema app owner to backend_core_app', /owns schema app/],
    ['no table of tasks', 'drop table app.tasks', /the table app\.tasks does not exist/],
  ] as const) {
    test(`refused: ${what}`, async (t) => {
      const cleanup = cleanupOf(t)
      const testDatabase = await makeDatabase(cleanup)
      await testDatabase.query(tampering)
      await assertRefuses(open(cleanup, testDatabase.connection), problem)
    })
  }
})

test('every hole is named at once', async (t) => {
  const cleanup = cleanupOf(t)
  const testDatabase = await makeDatabase(cleanup)
  await testDatabase.query('alter table app.tasks disable row level security')
  await testDatabase.query('drop policy own_rows on app.change_counters')
  const both = /app\.tasks is not forced; app\.change_counters has no policy/
  await assertRefuses(open(cleanup, testDatabase.connection), both)
})

// Roles belong to all databases of the cluster: what is done to one here is never committed.
for (const [what, tampering, problem] of [
  ['a role that bypasses row-level security', 'alter role backend_core_app bypassrls', /can bypass/],
  ['a role that is a superuser', 'alter role backend_core_app superuser', /can bypass/],
  [
    'a role that is a member of another',
    'grant pg_read_all_data to backend_core_app',
    /is a member of role pg_read_all_data/,
  ],
  ['an observer that bypasses it', 'alter role backend_core_observer bypassrls', /observer can bypass/],
  [
    'no observer',
    'alter role backend_core_observer rename to someone_else',
    /role backend_core_observer does not exist/,
  ],
  ['no role', 'alter role backend_core_app rename to someone_else', /role backend_core_app does not exist/],
] as const) {
  test(`refused: ${what}`, async (t) => {
    const cleanup = cleanupOf(t)
    const client = new pg.Client((await makeDatabase(cleanup)).connection)
    await client.connect()
    cleanup.defer(() => client.end())
    await client.query('begin')
    await client.query(tampering)
    await assert.rejects(
      verifyWall(client),
      (error) => error instanceof WallError && problem.test(error.message),
    )
    await client.query('rollback')
    await verifyWall(client)
  })
}

/** A login role and a database, in which it has the rights given. @returns its connection, and another's to grant more */
async function makeLogin(
  cleanup: AsyncDisposableStack,
  administration: pg.ClientConfig,
  rights: string,
  owns: boolean,
) {
  const name = `login_${randomBytes(6).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  const client = new pg.Client(administration)
  await client.connect()
  cleanup.defer(() => client.end())
  await client.query(`create role ${name} login password '${password}' ${rights}`)
  cleanup.defer(async () => void (await client.query(`drop role ${name}`)))
  await client.query(`create database ${name} template template0 ${owns ? `owner ${name}` : ''}`)
  cleanup.defer(async () => void (await client.query(`drop database ${name} with (force)`)))
  return { client, name, connection: { ...administration, user: name, password, database: name } }
}

test('a login role that cannot become the role is refused, and served once it is granted', async (t) => {
  const cleanup = cleanupOf(t)
  const { client, name, connection } = await makeLogin(cleanup, cluster().connection, '', true)
  const told = /the login role cannot become backend_core_app \(grant backend_core_app to it\)/
  await assertRefuses(open(cleanup, connection), told)
  await client.query(`grant backend_core_app to ${name}`)
  const second = /the login role cannot become backend_core_observer \(grant backend_core_observer to it\)/
  await assertRefuses(open(cleanup, connection), second)
  await client.query(`grant backend_core_observer to ${name}`)
  const database = open(cleanup, connection)
  assert.deepEqual(await database.prepare(), [], 'the migrations went in before the wall was checked')
  await assertServes(database)
})

test('a login role without rights in its database is told what it needs', async (t) => {
  const cleanup = cleanupOf(t)
  const { connection } = await makeLogin(cleanup, cluster().connection, '', false)
  const told = (error: unknown) =>
    error instanceof MigrationError && /must own the database.*and may create roles/.test(error.message)
  await assert.rejects(open(cleanup, connection).prepare(), told)
})

test('on a new cluster', async (t) => {
  const cleanup = cleanupOf(t)
  const server = await (await Place.make(t)).start()
  const administrator = new pg.Client(server.connection)
  await administrator.connect()
  cleanup.defer(() => administrator.end())

  await t.test('databases that are migrated at the same time make the role once', async () => {
    const names = ['first', 'second', 'third', 'fourth']
    for (const name of names) await administrator.query(`create database ${name} template template0`)
    const databases = names.map((database) =>
      openDatabase({ connection: { ...server.connection, database }, poolMax: 1 }),
    )
    const applied = await Promise.all(databases.map((database) => database.prepare()))
    assert.deepEqual(
      applied,
      names.map(() => migrations),
    )
    await Promise.all(databases.map((database) => database.close()))
    for (const name of names) await administrator.query(`drop database ${name} with (force)`)
    await administrator.query('drop role backend_core_app, backend_core_observer')
  })

  await t.test('a login role that may not create roles is told so', async () => {
    const { connection } = await makeLogin(cleanup, server.connection, '', true)
    const told = (error: unknown) => error instanceof MigrationError && /may create roles/.test(error.message)
    await assert.rejects(open(cleanup, connection).prepare(), told)
  })

  await t.test('a login role that may create roles migrates and serves, and is no superuser', async () => {
    const { connection } = await makeLogin(cleanup, server.connection, 'createrole', true)
    const database = open(cleanup, connection)
    assert.deepEqual(await database.prepare(), migrations)
    await assertServes(database)
  })
})
