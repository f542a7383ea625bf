import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { observerRole } from '../../src/db/scope.ts'
import { observerStatements, type Statement, sql, statements, toValues } from '../../src/db/sql.ts'
import { createTestDatabase } from '../support/database.ts'
import { explainWithin, type PlanMode } from '../support/explain.ts'
import { partitionByUser, partitionCount, partitionOf } from '../support/partitioned.ts'
import { fillForPlans, largestUser, observerCases, planCases } from '../support/plan-cases.ts'

// Where the tables have partitions by user, a statement of a user touches one partition of each table, and of each the
// one with the same number: with the plan made for the values, and with the plan made for any. What it touched is told
// by the plan as it was run, and by the server's own counts of what was scanned and written.

const declared = [...statements.values()]
const testDatabase = await createTestDatabase()
await testDatabase.query(await partitionByUser())
await fillForPlans(testDatabase, 200)
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

/** Every table and partition that a statement touched: its plan ran a scan of it, or the server counted a scan or a row. */
async function touchedBy(
  text: string,
  values: readonly (string | null)[],
  mode: PlanMode,
  role?: string,
): Promise<Set<string>> {
  await client.query('begin')
  try {
    const before = await readCounts()
    const nodes = await explainWithin(client, text, values, mode, role)
    const run = nodes.filter((node) => node['Actual Loops'] > 0 && node['Node Type'].includes('Scan'))
    const planned = run.flatMap((node) => node['Relation Name'] ?? [])
    const counted = [...(await readCounts())].filter(([name, count]) => count > (before.get(name) ?? 0))
    return new Set([...planned, ...counted.map(([name]) => name)])
  } finally {
    await client.query('rollback')
  }
}

/** What this connection did to each partition, of which some may not have been reported yet. */
async function readCounts(): Promise<Map<string, number>> {
  const { rows } = await client.query<{ name: string; count: number }>(
    `select relname as name, (coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del)::int as count
    from pg_stat_xact_user_tables where schemaname = 'app'`,
  )
  return new Map(rows.map(({ name, count }) => [name, count]))
}

/** The tables of which partitions were touched, and the numbers of these. */
function partitionsOf(touched: ReadonlySet<string>): { tables: string[]; numbers: string[] } {
  const partitions = [...touched].flatMap((name) => partitionOf(name) ?? [])
  const distinct = (names: string[]) => [...new Set(names)].sort()
  return {
    tables: distinct(partitions.map(({ table }) => table)),
    numbers: distinct(partitions.map(({ number }) => number)),
  }
}

function valuesOf(each: Statement, user: string, values: object): (string | null)[] {
  return [user, ...toValues(each, values as never)]
}

const users = [largestUser, 'user-7', 'nobody']
let looked = 0

async function assertOnePartition(each: Statement, mode: PlanMode): Promise<void> {
  const seen = new Set<string>()
  for (const { values } of planCases[each.name] ?? []) {
    for (const user of users) {
      const { tables, numbers } = partitionsOf(await touchedBy(each.text, valuesOf(each, user, values), mode))
      const what = `${tables} of ${user} with ${JSON.stringify(values).slice(0, 300)}`
      assert.ok(numbers.length <= 1, `${what}: partitions ${numbers}`)
      for (const table of tables) seen.add(table)
    }
  }
  const named = Array.from(each.text.matchAll(/(?:from|join|into|update) app\.(\w+)/g), ([, name]) => name)
  assert.deepEqual([...seen].sort(), [...new Set(named)].sort(), 'every table that it names was touched')
  looked++
}

for (const policies of ['in force', 'off'] as const) {
  test(`the policies are ${policies}`, async () => {
    // They bring a condition on the user of their own. Each statement must do with its own.
    if (policies === 'off') {
      for (const table of await partitionedTables())
        await testDatabase.query(`alter table app.${table} disable row level security`)
    }
  })

  for (const each of declared) {
    for (const mode of ['custom', 'generic'] as const) {
      test(`${each.name}, policies ${policies}: its ${mode} plan touches one partition of each table`, () =>
        assertOnePartition(each, mode))
    }
  }
}

test('every statement of a user was looked at', () => {
  assert.equal(looked, 4 * declared.length)
})

async function partitionedTables(): Promise<string[]> {
  const rows = await testDatabase.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'app'::regnamespace and relkind = 'p' order by 1`,
  )
  return rows.map(({ name }) => name)
}

test('statements that go to other partitions are detected', async () => {
  for (const text of [
    sql`select count(*) from app.tasks t where t.user_id || '' = $1`,
    sql`with own as materialized (select $1::text as user_id)
      select count(*) from app.tasks t join own o on md5(t.user_id) = md5(o.user_id)`,
    sql`delete from app.deletions where $1 <> ''`,
    sql`update app.change_counters set version = version + 1 where user_id in ($1, 'user-9')`,
  ]) {
    for (const mode of ['custom', 'generic'] as const) {
      const { numbers } = partitionsOf(await touchedBy(text.text, [largestUser], mode))
      assert.ok(numbers.length > 1, `${text.text}: ${numbers}`)
    }
  }
})

// They look across users by design, under a role of their own that may read numbers and times alone. A database that is
// sharded asks every shard, and answers in pieces.
const acrossUsers = ['changed_counters', 'find_due_users']

test('the statements that look across users are these, and go to every partition', async () => {
  assert.deepEqual([...observerStatements.keys()].sort(), acrossUsers)
  const find = observerStatements.get('find_due_users')
  assert.ok(find)
  for (const { values } of observerCases.find_due_users?.slice(0, 1) ?? []) {
    const touched = await touchedBy(find.text, toValues(find, values as never), 'custom', observerRole)
    assert.equal(partitionsOf(touched).numbers.length, partitionCount)
  }
})
