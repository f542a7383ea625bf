import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { observerRole } from '../../src/db/scope.ts'
import { observerStatements, type Statement, sql, statement, statements, toValues } from '../../src/db/sql.ts'
// Registers every statement of the service.
import '../../src/app.ts'
import '../../src/tasks/sweep.ts'
import { createTestDatabase } from '../support/database.ts'
import { explainText, type PlanNode } from '../support/explain.ts'
import { isListStatement, wholeList } from '../support/list-values.ts'

// What each statement reads, on 100,000 tasks of 1,000 users and 5,000 of one more: under the scope's role and user,
// with the plan made for the values and with the plan made for any, in a transaction that is rolled back.

const declared = [...statements.values()]
const largest = 'user-0'
const testDatabase = await createTestDatabase()
// The ids are spread over the index, the times over half a year; one task in fifty is completed.
await testDatabase.query(`
  insert into app.tasks (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
  select 'user-' || u, md5(u || '/' || i)::uuid, 'Task ' || i, repeat('words ', 20), i % 50 = 0,
    case when i % 50 = 0 then timestamptz '2026-11-01' end, created, created, i
  from (
    select 0 as u, i from generate_series(1, 5000) i
    union all select u, i from generate_series(1, 1000) u, generate_series(1, 100) i) task,
    lateral (select timestamptz '2026-01-01' + i * interval '1 hour' + u * interval '1 s') at (created)`)
// The same in the trash and removed for good, the older half of them due; and idempotency keys, one in ten of them expired.
await testDatabase.query(`
  with many as (
    select 'user-' || u as user_id, i, i % 50 = 0 as completed,
      now() - case when i % 100 < 50 then interval '100 days' else interval '0 days' end - i * interval '1 minute' as at
    from (
      select 0 as u, i from generate_series(1, 5000) i
      union all select u, i from generate_series(1, 1000) u, generate_series(1, 100) i) each),
  trash as (
    insert into app.tasks
      (user_id, id, title, description, completed, completed_at, created_at, updated_at, deleted_at, version)
    select user_id, md5(user_id || ' trash ' || i)::uuid, 'Trash ' || i, repeat('words ', 20), completed, case when completed then at end,
      at, at, at, 10000 + i from many)
  insert into app.deletions (user_id, id, version, removed_at)
  select user_id, md5(user_id || ' gone ' || i)::uuid, 20000 + i, at from many`)
await testDatabase.query(`
  insert into app.change_counters (user_id, version) select user_id, 30000 from app.tasks group by user_id`)
await testDatabase.query(`
  insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
  select 'user-' || u, 'key-' || i, 'x', '{}', now() + case when i % 10 = 0 then interval '-1 h' else interval '1 h' end
  from (
    select 0 as u, i from generate_series(1, 5000) i
    union all select u, i from generate_series(1, 1000) u, generate_series(1, 10) i) kept`)
await testDatabase.query('vacuum analyze app.tasks')
await testDatabase.query('vacuum analyze app.change_counters')
await testDatabase.query('vacuum analyze app.deletions')
await testDatabase.query('vacuum analyze app.idempotency_keys')
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

type Values = Readonly<Record<string, unknown>>

const [trashed] = await testDatabase.query<{ id: string; deleted_at: string }>(
  `select id, deleted_at::text from app.tasks where user_id = '${largest}' and version = 10060`,
)
assert.ok(trashed)
const [some] = await testDatabase.query<{ id: string }>(
  `select id from app.tasks where user_id = '${largest}' and version = 2500`,
)
assert.ok(some)
const { id } = some
/** The longest page: 500 tasks, and the one that tells whether another follows. */
const limit = 501
const noChange = {
  title: null,
  set_description: false,
  description: null,
  completed: null,
  toggle: false,
  if_match: null,
}
const newest = { deleted_at: 'infinity', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }
const batch = { lock_key: 1, limit: 500 }
const newTask = { title: 'New', description: null, completed: true }
const newTasks = Array.from({ length: 100 }, () => ({ id: randomUUID(), ...newTask }))

const firstId = '00000000-0000-0000-0000-000000000000'
const time = '2026-04-15T04:00:00.000Z'
const imported = (each: string) => ({
  ...{ id: each, title: 'Imported', description: null, completed: true, completed_at: time },
  ...{ created_at: time, updated_at: null, deleted_at: null },
})

/** Values of each statement, for the user with the most tasks, and how many rows one scan may read with them. */
const cases: Readonly<Record<string, readonly { values: Values; rows: number }[]>> = {
  get_task: [
    { values: { id }, rows: 1 },
    { values: { id: randomUUID() }, rows: 0 },
  ],
  lock_counter: [{ values: {}, rows: 0 }],
  lock_idempotency_key: [{ values: { key: 'key-1' }, rows: 0 }],
  find_idempotency_key: [
    { values: { key: 'key-7' }, rows: 1 },
    // Expired, and unknown.
    { values: { key: 'key-10' }, rows: 1 },
    { values: { key: 'other' }, rows: 0 },
  ],
  keep_idempotency_key: [
    { values: { key: 'other', fingerprint: 'x', answer: {} }, rows: 0 },
    { values: { key: 'key-10', fingerprint: 'x', answer: {} }, rows: 0 },
  ],
  create_task: [{ values: { id: randomUUID(), ...newTask }, rows: 0 }],
  update_task: [
    { values: { id, ...noChange, title: 'Other', set_description: true }, rows: 1 },
    { values: { id, ...noChange, toggle: true, if_match: [2500] }, rows: 1 },
    { values: { id, ...noChange, if_match: [7, 8] }, rows: 1 },
    { values: { id: randomUUID(), ...noChange }, rows: 1 },
  ],
  delete_task: [{ values: { id, if_match: [2500] }, rows: 1 }],
  create_tasks: [{ values: { tasks: newTasks }, rows: 0 }],
  export_tasks: [
    { values: { from: firstId, limit }, rows: limit },
    { values: { from: id, limit: 20 }, rows: 20 },
  ],
  import_tasks: [
    // A look-up for each line, which finds one row at most: a little over 1 is the rounding of an average.
    { values: { tasks: [imported(id), ...newTasks.map((task) => imported(task.id))] }, rows: 2 },
    { values: { tasks: Array.from({ length: 500 }, () => imported(randomUUID())) }, rows: 2 },
  ],
  expire_cursors: [{ values: {}, rows: 1 }],
  erase_tasks: [
    { values: { from: firstId, limit: 500 }, rows: 500 },
    { values: { from: id, limit: 5 }, rows: 6 },
  ],
  erase_deletions: [{ values: { from: firstId, limit: 500 }, rows: 500 }],
  erase_idempotency_keys: [{ values: { from: '', limit: 500 }, rows: 500 }],
  restore_task: [
    { values: { id: trashed.id }, rows: 1 },
    { values: { id }, rows: 1 },
    { values: { id: randomUUID() }, rows: 1 },
  ],
  purge_task: [
    { values: { id: trashed.id, if_match: null }, rows: 1 },
    { values: { id: trashed.id, if_match: [10060] }, rows: 1 },
    { values: { id, if_match: null }, rows: 1 },
  ],
  empty_trash: [
    { values: { limit: 5000 }, rows: 5000 },
    { values: { limit: 100 }, rows: 100 },
  ],
  list_trash: [
    { values: { limit, known: [], ...newest }, rows: limit },
    { values: { limit, known: [], ...trashed }, rows: limit },
    { values: { limit: 2, known: [], ...trashed }, rows: 2 },
    { values: { limit, known: [30000], ...newest }, rows: 1 },
  ],
  count_trash: [
    { values: { known: [] }, rows: 5000 },
    { values: { known: [30000] }, rows: 1 },
  ],
  sweep_trash: [
    { values: { ...batch, days: 30 }, rows: 500 },
    { values: { ...batch, days: 200 }, rows: 1 },
  ],
  sweep_deletions: [
    { values: { ...batch, days: 90 }, rows: 500 },
    { values: { ...batch, days: 200 }, rows: 1 },
  ],
  sweep_idempotency_keys: [{ values: batch, rows: 500 }],
  list_changes: [
    { values: { after: 0, start: null, limit }, rows: limit },
    { values: { after: 2500, start: 5000, limit }, rows: limit },
    { values: { after: 24_990, start: 24_990, limit }, rows: 10 },
    // Nothing new, and nothing but the counter.
    { values: { after: 30_000, start: 30_000, limit: 101 }, rows: 1 },
    { values: { after: 0, start: null, limit: 0 }, rows: 1 },
  ],
  ...Object.fromEntries(declared.filter(isListStatement).map((each) => [each.name, listCases(each)])),
}

/** What list-plans.test.ts looks at more closely: a list of those that are not completed, or of all. */
function listCases({ name, parameters }: Statement): { values: Values; rows: number }[] {
  const values = wholeList(parameters)
  if (!name.startsWith('list')) return [{ values, rows: 5000 }]
  return [
    { values, rows: limit },
    { values: { ...values, limit: 2 }, rows: 2 },
    { values: { ...values, known: [5000, 30000] }, rows: 1 },
  ]
}

/** Rows that a node read or passed on, over all its loops. */
function rowsOf(node: PlanNode): number {
  return (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']
}

/** What is wrong with a plan of a statement that may read so many rows of a table. */
function problemsOf(nodes: readonly PlanNode[], allowed: number): string[] {
  const problems: string[] = []
  for (const node of nodes) {
    const type = node['Node Type']
    const relation = node['Relation Name']
    const isIndex = type.includes('Index')
    if (type.includes('Scan') && relation !== undefined && !isIndex && !type.startsWith('Bitmap Heap')) {
      problems.push(`${type} on ${relation}`)
    }
    if (isIndex && !/^\(+user_id = /.test(node['Index Cond'] ?? '')) {
      problems.push(`${node['Index Name']} is not entered by user_id: ${node['Index Cond']}`)
    }
    if (type.includes('Sort') && (node.Plans ?? []).some((input) => rowsOf(input) > limit)) {
      problems.push(`${type} of more than a page`)
    }
  }
  const read = rowsRead(nodes)
  if (read > allowed) problems.push(`${read} rows read, not ${allowed}`)
  return problems
}

/**
 * The most rows that any one scan of a table of users' rows read. Where a bitmap is made of an index first, the rows are
 * those that it finds in the table: an index also holds what earlier tests rolled back.
 */
function rowsRead(nodes: readonly PlanNode[]): number {
  return Math.max(
    0,
    ...nodes.filter((node) => /^(Index|Bitmap Heap|Seq)/.test(node['Node Type'])).map(rowsOf),
  )
}

function valuesOf(each: Statement, user: string, values: Values): (string | null)[] {
  assert.deepEqual(Object.keys(values).sort(), Object.keys(each.parameters).sort(), each.name)
  return [user, ...toValues(each, values as never)]
}

const summary: string[] = []

for (const each of declared) {
  for (const mode of ['custom', 'generic'] as const) {
    test(`${each.name}: its ${mode} plan reads no more than it must, by an index on user_id`, async () => {
      const own = cases[each.name]
      assert.ok(own, 'a statement needs values in this file')
      const seen: PlanNode[] = []
      for (const { values, rows } of own) {
        for (const user of [largest, 'user-7']) {
          const nodes = await explainText(client, each.text, valuesOf(each, user, values), mode)
          assert.deepEqual(problemsOf(nodes, rows), [], `${user} ${JSON.stringify(values).slice(0, 500)}`)
          seen.push(...nodes)
        }
      }
      const indexes = [...new Set(seen.flatMap((node) => node['Index Name'] ?? []))].join(', ')
      summary.push(
        `${each.name.padEnd(30)} ${mode.padEnd(8)} ${String(rowsRead(seen)).padStart(4)}  ${indexes}`,
      )
    })
  }
}

/** As `cases`, for the statements that look across users; a scan may be repeated for each user of a page. */
const observerCases: Readonly<Record<string, readonly { values: Values; rows: number }[]>> = {
  find_due_users: [
    { values: { after: '', limit: 400, trash_days: 30, deletions_days: 90 }, rows: 400 },
    { values: { after: 'user-5', limit: 400, trash_days: 200, deletions_days: 200 }, rows: 400 },
    { values: { after: 'user-998', limit: 400, trash_days: 30, deletions_days: 90 }, rows: 1 },
  ],
}

// changed-counters.test.ts looks at the one that is asked about given users.
for (const each of [...observerStatements.values()].filter(({ name }) => name !== 'changed_counters')) {
  for (const mode of ['custom', 'generic'] as const) {
    test(`${each.name}: its ${mode} plan finds users along an index, and of each no more than a row`, async () => {
      const own = observerCases[each.name]
      assert.ok(own, 'a statement that looks across users needs values in this file')
      for (const { values, rows } of own) {
        const nodes = await explainText(
          client,
          each.text,
          toValues(each, values as never),
          mode,
          observerRole,
        )
        const problems = problemsOf(nodes, rows).filter(
          (problem) => !/^change_counters_pkey is not entered by user_id: \(user_id > /.test(problem),
        )
        assert.deepEqual(problems, [], JSON.stringify(values))
      }
    })
  }
}

test('every statement has a plan here, and every one here is a statement', (t) => {
  assert.deepEqual(Object.keys(cases).sort(), declared.map(({ name }) => name).sort())
  t.diagnostic('statement                      plan     rows  indexes')
  for (const line of summary) t.diagnostic(line)
})

test('statements that scan, sort or read too much are detected', async () => {
  const bad = {
    'Seq Scan': sql`t.user_id || '' = 'user-0'`,
    'not entered by user_id': sql`t.created_at < '2026-01-02' and t.user_id < 'user-1'`,
    'more than a page': sql`t.user_id = 'user-0' order by t.title limit 10`,
    'rows read': sql`t.user_id = 'user-0' and t.title like '%7' order by t.created_at limit 400`,
  }
  for (const [expected, condition] of Object.entries(bad)) {
    const each = statement(
      `bad: ${expected}`,
      {},
      { id: 'uuid' },
      ({ user_id }) => sql`
        select t.id from app.tasks t where ${user_id} <> '' and ${condition}`,
    )
    // The policy alone gives the planner a use for an index; which it takes is a matter of the statistics' sample.
    const scans = expected === 'Seq Scan' ? 'off' : 'on'
    await client.query(
      `set enable_indexscan = ${scans}; set enable_indexonlyscan = ${scans}; set enable_bitmapscan = ${scans}`,
    )
    const problems = problemsOf(await explainText(client, each.text, [largest], 'custom'), limit)
    await client.query('reset enable_indexscan; reset enable_indexonlyscan; reset enable_bitmapscan')
    assert.ok(
      problems.some((problem) => problem.includes(expected)),
      `${expected}: ${problems.join('; ')}`,
    )
  }
})
