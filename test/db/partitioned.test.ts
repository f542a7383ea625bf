import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { openDatabase } from '../../src/db/database.ts'
import { appRole, observerRole, scopeText } from '../../src/db/scope.ts'
import { newUser } from '../support/app.ts'
import { administer, cluster, createTestDatabase, type TestDatabase } from '../support/database.ts'
import { partitionByUser, partitionCount } from '../support/partitioned.ts'

// docs/partition-by-user.sql: what it makes of the migrated schema is the same but for the partitions, it loses nothing,
// and nobody gets round the policies by way of a partition.

const recipe = await partitionByUser()
const tables = ['change_counters', 'deletions', 'idempotency_keys', 'tasks']

async function makeDatabase(): Promise<TestDatabase> {
  const testDatabase = await createTestDatabase()
  after(() => testDatabase.drop())
  return testDatabase
}

/** All that a table is, but for its rows and partitions. Those of migrations yet to come are among them. */
function describeTables({ query }: TestDatabase): Promise<object[]> {
  return query(
    `select c.relname, c.relowner::regrole::text, c.relacl::text, c.relrowsecurity, c.relforcerowsecurity,
      coalesce(part.reloptions, c.reloptions) as options,
      array(select row(a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::regcollation,
          a.attacl, a.attstorage, a.attcompression, a.attstattarget, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid))::text
        from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attname) as columns,
      array(select k.conname || ' ' || pg_get_constraintdef(k.oid) from pg_constraint k
        where k.conrelid = c.oid order by 1) as constraints,
      array(select replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') || ' ' || i.indisvalid from pg_index i
        where i.indrelid = c.oid order by 1) as indexes,
      array(select row(p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, c.oid),
        pg_get_expr(p.polwithcheck, c.oid))::text from pg_policy p where p.polrelid = c.oid order by 1) as policies,
      array(select pg_get_triggerdef(t.oid) from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal) as triggers,
      array(select pg_get_statisticsobjdef(s.oid) from pg_statistic_ext s where s.stxrelid = c.oid order by 1) as statistics,
      obj_description(c.oid, 'pg_class') as comment
    from pg_class c join pg_attribute u on u.attrelid = c.oid and u.attname = 'user_id'
    left join pg_class part on part.oid = to_regclass(format('app.%I', c.relname || '_p00'))
    where c.relnamespace = 'app'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by c.relname`,
  )
}

const [plain, partitioned] = [await makeDatabase(), await makeDatabase()]
await partitioned.query(recipe)

test('the tables are as they were migrated: columns, keys, indexes, policies, grants, settings', async () => {
  const before = await describeTables(plain)
  assert.deepEqual(
    before.map((table) => 'relname' in table && table.relname),
    tables,
  )
  assert.deepEqual(await describeTables(partitioned), before)
})

test('what a later migration may add is copied too', async () => {
  const [first, second] = [await makeDatabase(), await makeDatabase()]
  for (const { query } of [first, second]) {
    await query(`
      alter table app.tasks set (fillfactor = 80);
      alter table app.tasks add column note text collate "C" default 'x' not null check (note <> '');
      alter table app.tasks add unique (user_id, note, id);
      create index tasks_noted on app.tasks using brin (note) where note <> 'x';
      grant select on app.tasks to public;
      grant update (note) on app.tasks to ${observerRole} with grant option;
      create policy noted on app.tasks as restrictive for update to public, ${observerRole} using (note = 'y') with check (true);
      create statistics app.noted on title, note from app.tasks;
      create table app.notes (user_id text collate "C" primary key, id uuid)`)
  }
  await second.query(recipe)
  // It is the same with the table there already, and the second run finds nothing to do.
  await second.query(recipe)
  assert.deepEqual(await describeTables(second), (await describeTables(first)).map(enabled))
})

/** The recipe forces row-level security, also on a table that a migration left without. */
function enabled(table: object): object {
  return { ...table, relrowsecurity: true, relforcerowsecurity: true }
}

test('every table has its partitions, by the hash of the user alone; each is under row-level security without a policy or a grant', async () => {
  const rows = await partitioned.query(
    `select p.relname as table, pg_get_partkeydef(p.oid) as key, count(*)::int as partitions,
      bool_and(c.relrowsecurity and c.relforcerowsecurity) as forced, bool_and(c.relacl is null) as ungranted,
      count(distinct pg_get_expr(c.relpartbound, c.oid))::int as bounds,
      bool_or(exists (select from pg_policy where polrelid = c.oid)) as policy
    from pg_class p join pg_inherits i on i.inhparent = p.oid join pg_class c on c.oid = i.inhrelid
    where p.relnamespace = 'app'::regnamespace and p.relkind = 'p' group by p.oid, p.relname order by p.relname`,
  )
  const expected = { key: 'HASH (user_id)', partitions: partitionCount, bounds: partitionCount }
  assert.deepEqual(
    rows,
    tables.map((table) => ({ table, ...expected, forced: true, ungranted: true, policy: false })),
  )
})

/** Stores something of each kind for some users. */
async function fill({ query }: Pick<TestDatabase, 'query'>, users: readonly string[]): Promise<void> {
  await query('insert into app.change_counters (user_id, version) select u, 9 from unnest($1::text[]) u', [
    users,
  ])
  await query(
    `insert into app.tasks (user_id, id, title, description, completed, created_at, updated_at, version)
    select u, gen_random_uuid(), 'Task ' || n, u, false, now(), now(), n from unnest($1::text[]) u, generate_series(1, 3) n`,
    [users],
  )
  await query(
    `insert into app.deletions (user_id, id, version, removed_at)
    select u, gen_random_uuid(), n, now() from unnest($1::text[]) u, generate_series(4, 6) n`,
    [users],
  )
  await query(
    `insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
    select u, n, 'x', '{"b":1,  "a":2}', now() from unnest($1::text[]) u, generate_series(1, 3) n`,
    [users],
  )
}

const someUsers = () => Array.from({ length: 100 }, () => newUser())

async function contentOf({ query }: Pick<TestDatabase, 'query'>): Promise<string[]> {
  const each = tables.map((table) => `select '${table}' || t::text as row from app.${table} t`)
  return (await query<{ row: string }>(`${each.join(' union all ')} order by 1`)).map(({ row }) => row)
}

test('every row is kept, run by a login that is no superuser and whom the policies let see nothing', async () => {
  const { connection } = cluster()
  const name = `login_${randomBytes(6).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  const administrator = new pg.Client(connection)
  await administrator.connect()
  try {
    await administrator.query(`create role ${name} login password '${password}'`)
    await administrator.query(`grant ${appRole}, ${observerRole} to ${name}`)
    await administrator.query(`create database ${name} owner ${name} template template0`)
    const own = { ...connection, user: name, password, database: name }
    const database = openDatabase({ connection: own, poolMax: 1 })
    await database.prepare()
    const asAdministrator = new pg.Pool({ ...connection, database: name, max: 1 })
    const query: TestDatabase['query'] = async (text, values) =>
      (await asAdministrator.query(text, values)).rows
    await fill({ query }, someUsers())
    const before = await contentOf({ query })
    assert.equal(before.length, 1000)
    await administer(own, recipe)
    assert.deepEqual(await contentOf({ query }), before)
    await asAdministrator.end()
    await database.close()
    const again = openDatabase({ connection: own, poolMax: 1 })
    await again.prepare()
    await again.close()
  } finally {
    await administrator.query(`drop database if exists ${name} with (force)`)
    await administrator.query(`drop role if exists ${name}`)
    await administrator.end()
  }
})

test('another role than the owner is told to leave it, and nothing is done', async () => {
  const database = await makeDatabase()
  await database.query(`alter table app.deletions owner to pg_database_owner`)
  await assert.rejects(database.query(recipe), /app\.deletions is owned by pg_database_owner/)
  const [row] = await database.query(
    `select count(*)::int as made from pg_class where relkind = 'p' and relname !~ '^pg_'`,
  )
  assert.deepEqual(row, { made: 0 })
})

async function inScope(role: string, user: string, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client(partitioned.connection)
  await client.connect()
  try {
    await client.query('begin')
    await client.query(scopeText, [role, user, '0'])
    return await client.query(text)
  } finally {
    await client.end()
  }
}

test('no partition is read or written by its own name, be the rows the own ones', async () => {
  const users = someUsers()
  await fill(partitioned, users)
  const [user = ''] = users
  for (const table of tables) {
    const [row] = await partitioned.query<{ name: string }>(
      `select tableoid::regclass::text as name from app.${table} where user_id = $1`,
      [user],
    )
    assert.match(row?.name ?? '', /^app\.\w+_p\d\d$/)
    for (const text of [
      `select from ${row?.name}`,
      `select from ${row?.name} for update`,
      `insert into ${row?.name} select * from app.${table}`,
      `update ${row?.name} set user_id = user_id`,
      `delete from ${row?.name}`,
      `truncate ${row?.name}`,
      `copy ${row?.name} to stdout`,
      `alter table ${row?.name} disable row level security`,
      `create policy all_rows on ${row?.name} using (true)`,
      `alter table app.${table} detach partition ${row?.name}`,
      `drop table ${row?.name}`,
    ]) {
      for (const role of [appRole, observerRole])
        await assert.rejects(inScope(role, user, text), { code: '42501' }, `${role}: ${text}`)
    }
    // Where somebody grants it nevertheless, no policy lets a row through.
    await partitioned.query(`grant select, insert, update, delete on ${row?.name} to ${appRole}`)
    for (const text of [
      `select from ${row?.name}`,
      `update ${row?.name} set user_id = user_id`,
      `delete from ${row?.name}`,
    ])
      assert.equal((await inScope(appRole, user, text)).rowCount, 0, text)
    const insert = `insert into ${row?.name} select * from app.${table}`
    await assert.rejects(inScope(appRole, user, insert), /violates row-level security policy/)
    await partitioned.query(`revoke all on ${row?.name} from ${appRole}`)
    const through = await inScope(appRole, user, `select from app.${table}`)
    assert.equal(through.rowCount, table === 'change_counters' ? 1 : 3)
  }
})

for (const [what, tampering, problem] of [
  [
    'a partition without row-level security',
    'alter table app.tasks_p07 disable row level security',
    /app\.tasks_p07 is not forced/,
  ],
  [
    'a partition on whose owner it is not forced',
    'alter table app.deletions_p00 no force row level security',
    /app\.deletions_p00 is not forced/,
  ],
  [
    'a table of partitions without row-level security',
    'alter table app.tasks disable row level security',
    /of app\.tasks is not forced/,
  ],
  ['a table of partitions without a policy', 'drop policy own_rows on app.tasks', /app\.tasks has no policy/],
  [
    'a policy on a partition that lets everything through',
    'create policy all_rows on app.tasks_p07 using (true)',
    /policy all_rows on app\.tasks_p07 does not compare/,
  ],
  [
    'a partition that may be emptied',
    `grant truncate on app.tasks_p07 to ${appRole}`,
    /may empty app\.tasks_p07/,
  ],
  [
    'a partition in another schema without row-level security',
    'create schema far; alter table app.tasks_p07 set schema far; alter table far.tasks_p07 disable row level security',
    /far\.tasks_p07 is not forced/,
  ],
  [
    'a partition that the observer may read',
    `grant select on app.tasks_p07 to ${observerRole}`,
    /may read column title of app\.tasks_p07/,
  ],
] as const) {
  test(`the service refuses ${what}`, async () => {
    const testDatabase = await makeDatabase()
    await testDatabase.query(recipe)
    await testDatabase.query(tampering)
    const database = openDatabase({ connection: testDatabase.connection, poolMax: 1 })
    await assert.rejects(database.prepare(), { name: 'WallError', message: problem })
    await database.close()
  })
}
