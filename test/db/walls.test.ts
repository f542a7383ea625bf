import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, type TestContext, test } from 'node:test'
import pg from 'pg'
import { openDatabase } from '../../src/db/database.ts'
import { appRole, scopeText } from '../../src/db/scope.ts'
import { statements } from '../../src/db/sql.ts'
// Registers the statements that app.ts does not need.
import '../../src/tasks/sweep.ts'
import { newUser, startApp } from '../support/app.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { isListStatement, wholeList } from '../support/list-values.ts'

// Each of the three walls between users, with the other two taken away.

const declared = [...statements.values()]
const secret = 'A secret of another user'

type Row = Readonly<Record<string, unknown>>

const newIds = () => Array.from({ length: 3 }, () => randomUUID())

/**
 * Two users with three tasks and an idempotency key each.
 *
 * @param sameIds whether the tasks and the key of the second have the ids of the first's
 * @returns the user to protect, the one who attacks, and the ids of the first's tasks
 */
async function twoUsers({ query }: TestDatabase, sameIds = false) {
  const make = async (title: string, ids: string[], key = 'key') => {
    const user = newUser()
    await query('insert into app.change_counters (user_id, version) values ($1, 3)', [user])
    await query(
      `insert into app.tasks (user_id, id, title, description, completed, created_at, updated_at, version)
      select $1, id, $2, $2, false, now(), now(), place from unnest($3::uuid[]) with ordinality u (id, place)`,
      [user, title, ids],
    )
    await query(
      `insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
      values ($1, $2, $3, json_build_object('data', $3::text), now() + interval '1 h')`,
      [user, key, title],
    )
    return user
  }
  const ids = newIds()
  const a = await make(secret, ids)
  const b = sameIds ? await make('Own', ids) : await make('Own', newIds(), 'own key')
  return { a, b, ids }
}

/** Moves all tasks of users to the trash, long ago, and gives each three deletions and idempotency keys of that time. */
async function makeAllDue({ query }: TestDatabase, users: readonly string[]): Promise<void> {
  const longAgo = '2020-01-01T00:00:00.000Z'
  await query('update app.change_counters set version = 6 where user_id = any($1)', [users])
  await query('update app.tasks set deleted_at = $2 where user_id = any($1)', [users, longAgo])
  await query(
    `insert into app.deletions (user_id, id, version, removed_at)
    select u, md5(n::text)::uuid, 3 + n, $2 from unnest($1::text[]) u, generate_series(1, 3) n`,
    [users, longAgo],
  )
  await query(
    `insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
    select u, n, 'x', to_json($3::text), $2 from unnest($1::text[]) u, generate_series(1, 3) n`,
    [users, longAgo, secret],
  )
}

/** Everything stored of a user. */
function storedOf({ query }: TestDatabase, user: string): Promise<Row[]> {
  return query(
    `select to_jsonb(t) as row from app.tasks t where user_id = $1
    union all select to_jsonb(c) from app.change_counters c where user_id = $1
    union all select to_jsonb(d) from app.deletions d where user_id = $1
    union all select to_jsonb(k) from app.idempotency_keys k where user_id = $1 order by 1`,
    [user],
  )
}

const [dropped, unwalled, walled] = [
  await createTestDatabase(),
  await createTestDatabase(),
  await createTestDatabase(),
]
const service = await startApp({ testDatabase: dropped })
const database = openDatabase({ connection: unwalled.connection, poolMax: 2 })
await database.prepare()
for (const table of ['tasks', 'change_counters', 'deletions', 'idempotency_keys']) {
  await unwalled.query(`alter table app.${table} disable row level security`)
}
after(async () => {
  await database.close()
  await unwalled.drop()
  await walled.drop()
})

describe('wall 1, the path, with no database behind it', () => {
  const task = `/tasks/${randomUUID()}`
  const operations = [
    ['GET', '/tasks'],
    ['POST', '/tasks', { json: { title: 'Buy milk' } }],
    ['GET', task],
    ['PUT', task, { json: { title: 'Buy milk' } }],
    ['PATCH', task, { json: { title: 'Buy milk' } }],
    ['PATCH', `${task}/complete`, { json: { completed: true } }],
    ['DELETE', task],
    ['POST', `${task}/restore`],
    ['GET', '/trash'],
    ['DELETE', task.replace('tasks', 'trash')],
    ['DELETE', '/trash'],
    ['GET', '/export'],
    ['POST', '/import', { raw: '{"title":"x"}', headers: { 'content-type': 'application/x-ndjson' } }],
    ['DELETE', '/data', { headers: { confirm: 'erase' } }],
  ] as const

  test('another user is 403 and no token 401 for every operation, though the database is gone', async () => {
    await dropped.drop()
    const user = service.as(newUser())
    for (const [method, path, body = {}] of operations) {
      const own = await user.request(method, `/api/${user.userId}${path}`, body)
      assert.equal(own.body.error.code, 'DATABASE_UNAVAILABLE', 'the database is gone')
      const before = service.database.roundTrips
      const other = await user.request(method, `/api/${newUser()}${path}`, body)
      assert.deepEqual([other.status, other.body.error.code], [403, 'FORBIDDEN'], `${method} ${path}`)
      const nobody = await service.anonymous().request(method, `/api/${user.userId}${path}`, body)
      assert.deepEqual([nobody.status, nobody.body.error.code], [401, 'TOKEN_MISSING'], `${method} ${path}`)
      assert.equal(service.database.roundTrips, before)
    }
  })
})

describe('wall 2, the scope, without row-level security and with the ids of another user', () => {
  const change = { title: 'Mine', set_description: true, description: 'Mine', completed: true, toggle: false }
  const content = { title: 'Mine', description: null, completed: false }
  const newest = { deleted_at: 'infinity', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }
  const batch = { lock_key: 1, limit: 500 }
  /** Statements that find something to do where everything is in the trash and due. */
  const ofTrash = /trash|^restore_|^purge_|^sweep_/
  /** Values that aim at the tasks of another user, and how many rows they bring: without, and with, the same ids. */
  const attacks: Readonly<
    Record<string, (ids: string[]) => [values: Row, rows: number, withSameIds: number]>
  > = {
    get_task: ([id]) => [{ id }, 0, 1],
    lock_counter: () => [{}, 1, 1],
    lock_idempotency_key: () => [{ key: 'key' }, 1, 1],
    find_idempotency_key: () => [{ key: 'key' }, 0, 1],
    keep_idempotency_key: () => [{ key: 'key', fingerprint: 'Mine', answer: { status: 201 } }, 0, 0],
    create_task: ([id]) => [{ id, ...content }, 1, 1],
    update_task: ([id]) => [{ id, ...change, if_match: null }, 0, 1],
    delete_task: ([id]) => [{ id, if_match: null }, 0, 1],
    create_tasks: (ids) => [{ tasks: ids.map((id) => ({ id, ...content })) }, 3, 3],
    export_tasks: () => [{ from: '00000000-0000-0000-0000-000000000000', limit: 500 }, 3, 3],
    import_tasks: (ids) => [{ tasks: ids.map((id) => ({ id, ...content })) }, 1, 1],
    expire_cursors: () => [{}, 1, 1],
    erase_tasks: () => [{ from: '00000000-0000-0000-0000-000000000000', limit: 500 }, 1, 1],
    erase_deletions: () => [{ from: '00000000-0000-0000-0000-000000000000', limit: 500 }, 1, 1],
    erase_idempotency_keys: () => [{ from: '', limit: 500 }, 1, 1],
    restore_task: ([id]) => [{ id }, 0, 1],
    purge_task: ([id]) => [{ id, if_match: null }, 0, 1],
    empty_trash: () => [{ limit: 500 }, 1, 1],
    list_trash: () => [{ limit: 500, known: [], ...newest }, 3, 3],
    count_trash: () => [{ known: [] }, 1, 1],
    sweep_trash: () => [{ ...batch, days: 1 }, 1, 1],
    sweep_deletions: () => [{ ...batch, days: 1 }, 1, 1],
    sweep_idempotency_keys: () => [batch, 1, 1],
    ...Object.fromEntries(
      declared.filter(isListStatement).map(({ name, parameters }) => {
        const rows = name.startsWith('count') ? 1 : 3
        return [name, () => [wholeList(parameters), rows, rows]]
      }),
    ),
    list_changes: () => [{ after: 0, start: 0, limit: 500 }, 3, 3],
  }

  for (const each of declared) {
    for (const sameIds of [false, true]) {
      const ids = sameIds ? ', whose ids the user has too' : ''
      test(`${each.name} shows and changes nothing of the other user${ids}`, async () => {
        const attack = attacks[each.name]
        assert.ok(attack, 'a statement needs an attack in this file')
        const { a, b, ids } = await twoUsers(unwalled, sameIds)
        if (ofTrash.test(each.name)) await makeAllDue(unwalled, [a, b])
        const before = await storedOf(unwalled, a)
        const [values, ...expected] = attack(ids)
        const rows: Row[] = await database.scopeFor(b).run(each, values as never)
        assert.equal(rows.length, expected[sameIds ? 1 : 0])
        assert.ok(!JSON.stringify(rows).includes(a) && !JSON.stringify(rows).includes(secret))
        for (const row of rows.filter((row) => 'user_id' in row)) assert.equal(row.user_id, b)
        if (!each.name.startsWith('erase')) {
          for (const { removed = 3, total = 3 } of rows) assert.deepEqual([removed, total], [3, 3])
        }
        if (each.name === 'erase_tasks') assert.equal(rows[0]?.removed, 3)
        assert.deepEqual(await storedOf(unwalled, a), before)
      })
    }
  }
})

async function connect(t: TestContext): Promise<pg.Client> {
  const client = new pg.Client(walled.connection)
  await client.connect()
  t.after(() => client.end())
  return client
}

/** Runs statements without any filter in a transaction that has entered a user's scope. */
async function inScope(client: pg.Client, user: string, ...texts: string[]): Promise<pg.QueryResult> {
  await client.query('begin')
  try {
    let result = await client.query(scopeText, [appRole, user, '0'])
    for (const text of texts) result = await client.query(text)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

const row = (user: string) => `'${user}', gen_random_uuid(), 'x', null, false, null, now(), now(), 1`

describe('wall 3, the database, under statements without a user', () => {
  for (const [text, own] of [
    ['select * from app.tasks', 3],
    ['select * from app.tasks for update', 3],
    ['select * from app.change_counters', 1],
    ['select * from app.change_counters for update', 1],
    [`update app.tasks set title = 'x' returning *`, 3],
    ['update app.change_counters set version = version + 1', 1],
    ['delete from app.tasks', 3],
    ['select * from app.idempotency_keys', 1],
    [`update app.idempotency_keys set fingerprint = 'x' returning *`, 1],
    ['delete from app.idempotency_keys', 1],
    ['merge into app.tasks t using app.change_counters c on t.version > 0 when matched then delete', 3],
  ] as const) {
    test(`only the scope's own rows: ${text}`, async (t) => {
      const { a, b } = await twoUsers(walled)
      const before = await storedOf(walled, a)
      assert.equal((await inScope(await connect(t), b, text)).rowCount, own)
      assert.deepEqual(await storedOf(walled, a), before)
      for (const nobody of ['', newUser()]) {
        assert.equal((await inScope(await connect(t), nobody, text)).rowCount, 0)
      }
    })
  }

  for (const [what, text] of [
    ['a task of another user', (a: string) => `insert into app.tasks values (${row(a)})`],
    ['a counter of another user', (a: string) => `insert into app.change_counters values ('${a}x', 1)`],
    [
      "another user's counter on conflict",
      (a: string) =>
        `insert into app.change_counters values ('${a}', 1) on conflict (user_id) do update set version = 99`,
    ],
    [
      'a key of another user',
      (a: string) => `insert into app.idempotency_keys values ('${a}', 'new', 'x', '{}', now())`,
    ],
    [
      "another user's key on conflict",
      (a: string) =>
        `insert into app.idempotency_keys values ('${a}', 'key', 'x', '{}', now())
        on conflict (user_id, key) do update set fingerprint = 'x'`,
    ],
    ['keys moved to another user', (a: string) => `update app.idempotency_keys set user_id = '${a}'`],
    ['tasks moved to another user', (a: string) => `update app.tasks set user_id = '${a}'`],
    ['the counter moved to another user', (a: string) => `update app.change_counters set user_id = '${a}x'`],
  ] as const) {
    test(`refused: ${what}`, async (t) => {
      const { a, b } = await twoUsers(walled)
      const before = [await storedOf(walled, a), await storedOf(walled, b)]
      const client = await connect(t)
      const refused = { code: '42501', message: /row-level security policy/ }
      await assert.rejects(inScope(client, b, text(a)), refused)
      assert.deepEqual([await storedOf(walled, a), await storedOf(walled, b)], before)
    })
  }

  for (const [what, enter] of [
    ['never set', `select set_config('role', $1, true)`],
    ['null', `select set_config('role', $1, true), set_config('app.user_id', null, true)`],
    ['empty', `select set_config('role', $1, true), set_config('app.user_id', '', true)`],
  ] as const) {
    test(`the role without a scope, its user ${what}, sees nothing and can write nothing`, async (t) => {
      const { a } = await twoUsers(walled)
      const client = await connect(t)
      for (const [text, code] of [
        ['select * from app.tasks', undefined],
        ['update app.change_counters set version = version + 1', undefined],
        [`insert into app.tasks values (${row(a)})`, '42501'],
        [`insert into app.tasks values (${row('')})`, what === 'never set' ? '42501' : '23514'],
      ] as const) {
        await client.query('begin')
        await client.query(enter, [appRole])
        if (code === undefined) assert.equal((await client.query(text)).rowCount, 0)
        else await assert.rejects(client.query(text), { code })
        await client.query('rollback')
      }
    })
  }

  for (const text of [
    'truncate app.tasks',
    'alter table app.tasks disable row level security',
    'alter table app.tasks no force row level security',
    'alter policy own_rows on app.tasks using (true)',
    'drop policy own_rows on app.tasks',
    'create policy everything on app.tasks using (true)',
    'drop table app.tasks',
    'delete from app.change_counters',
    'select * from app.migrations',
    'create table app.stolen as select 1',
    'create table public.stolen as select 1',
    'create schema stolen',
    `create function app.stolen() returns int language sql as 'select 1'`,
    `create function public.stolen() returns int language sql security definer as 'select 1'`,
    'create trigger stolen after insert on app.tasks execute function suppress_redundant_updates_trigger()',
    'alter role backend_core_app bypassrls',
    'create role stolen',
    `select set_config('session_replication_role', 'replica', true)`,
    'select rolpassword from pg_authid',
    `select set_config('row_security', 'off', true); select * from app.tasks`,
    `copy app.tasks to program 'true'`,
  ]) {
    test(`the role may not: ${text}`, async (t) => {
      const client = await connect(t)
      await assert.rejects(inScope(client, newUser(), ...text.split('; ')), { code: '42501' })
    })
  }

  test('no statement of the service can be given another table: each names the schema', () => {
    for (const { name, text } of declared) {
      assert.doesNotMatch(text, /\b(from|join|into|update|using) (tasks|change_counters)\b/, name)
    }
  })

  test('no statement of the service changes a setting, its user among them, or runs text as SQL', () => {
    const ways =
      /set_config|\bset (local|session|role)|\breset\b|query_to|cursor_to|table_to|dblink|\bdo\b (?!update|nothing)/i
    for (const { name, text } of declared) assert.doesNotMatch(text, ways, name)
  })
})
