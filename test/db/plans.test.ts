import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { appRole, scopeText } from '../../src/db/scope.ts'
import { type Statement, sql, statement, statements, toValues } from '../../src/db/sql.ts'
// Registers every statement of the service.
import '../../src/app.ts'
import { createTestDatabase } from '../support/database.ts'

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
await testDatabase.query(`
  insert into app.change_counters (user_id, version) select user_id, max(version) from app.tasks group by user_id`)
await testDatabase.query('vacuum analyze app.tasks')
await testDatabase.query('vacuum analyze app.change_counters')
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

type Values = Readonly<Record<string, unknown>>

const [some] = await testDatabase.query<{ id: string }>(
  `select id from app.tasks where user_id = '${largest}' and version = 2500`,
)
assert.ok(some)
const { id } = some
/** The longest page: 500 tasks, and the one that tells whether another follows. */
const limit = 501
const halfWay = { created_at: '2026-04-15T04:00:00.000Z', id }
const noChange = {
  title: null,
  set_description: false,
  description: null,
  completed: null,
  toggle: false,
  if_match: null,
}
const newTask = { title: 'New', description: null, completed: true }
const newTasks = Array.from({ length: 100 }, () => ({ id: randomUUID(), ...newTask }))

/** Values of each statement, for the user with the most tasks, and how many rows one scan may read with them. */
const cases: Readonly<Record<string, readonly { values: Values; rows: number }[]>> = {
  get_task: [
    { values: { id }, rows: 1 },
    { values: { id: randomUUID() }, rows: 0 },
  ],
  lock_counter: [{ values: {}, rows: 0 }],
  create_task: [{ values: { id: randomUUID(), ...newTask }, rows: 0 }],
  update_task: [
    { values: { id, ...noChange, title: 'Other', set_description: true }, rows: 1 },
    { values: { id, ...noChange, toggle: true, if_match: [2500] }, rows: 1 },
    { values: { id, ...noChange, if_match: [7, 8] }, rows: 1 },
    { values: { id: randomUUID(), ...noChange }, rows: 1 },
  ],
  delete_task: [{ values: { id, if_match: [2500] }, rows: 1 }],
  create_tasks: [{ values: { tasks: newTasks }, rows: 0 }],
  delete_tasks: [{ values: {}, rows: 5000 }],
  list_tasks: [
    { values: { limit }, rows: limit },
    { values: { limit: 2 }, rows: 2 },
  ],
  list_tasks_after: [{ values: { limit, ...halfWay }, rows: limit }],
  list_tasks_by_completed: [
    { values: { limit, completed: false }, rows: limit },
    // Fewer than a page: all of them, and no others.
    { values: { limit, completed: true }, rows: 100 },
  ],
  list_tasks_by_completed_after: [
    { values: { limit, completed: false, ...halfWay }, rows: limit },
    { values: { limit: 21, completed: true, ...halfWay }, rows: 21 },
  ],
  list_changes: [
    { values: { after: 0, start: null, limit }, rows: limit },
    { values: { after: 2500, start: 5000, limit }, rows: limit },
    { values: { after: 4990, start: 4990, limit }, rows: 10 },
    // Nothing new, and nothing but the counter.
    { values: { after: 5000, start: 5000, limit: 101 }, rows: 1 },
    { values: { after: 0, start: null, limit: 0 }, rows: 1 },
  ],
}

type Node = {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Index Cond'?: string
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly Plans?: readonly Node[]
}

/** Runs a statement in a scope, with one kind of plan, and returns what it did; nothing of it stays. */
async function explain(
  { text }: Statement,
  [user, ...values]: readonly unknown[],
  mode: string,
): Promise<Node[]> {
  await client.query('begin')
  try {
    await client.query(scopeText, [appRole, user, '0'])
    await client.query(`select set_config('plan_cache_mode', $1, true)`, [mode])
    await client.query(`prepare explained as ${text}`)
    const literals = [user, ...values].map((value) =>
      value === null ? 'null' : pg.escapeLiteral(String(value)),
    )
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Node }] }>(
      `explain (analyze, timing off, format json) execute explained (${literals.join(', ')})`,
    )
    await client.query('deallocate explained')
    assert.ok(rows[0])
    return flatten(rows[0]['QUERY PLAN'][0].Plan)
  } finally {
    await client.query('rollback')
  }
}

function flatten(node: Node): Node[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)]
}

/** Rows that a node read or passed on, over all its loops. */
function rowsOf(node: Node): number {
  return (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']
}

/** What is wrong with a plan of a statement that may read so many rows of a table. */
function problemsOf(nodes: readonly Node[], allowed: number): string[] {
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
function rowsRead(nodes: readonly Node[]): number {
  return Math.max(
    0,
    ...nodes.filter((node) => /^(Index|Bitmap Heap|Seq)/.test(node['Node Type'])).map(rowsOf),
  )
}

function valuesOf(each: Statement, user: string, values: Values): unknown[] {
  assert.deepEqual(Object.keys(values).sort(), Object.keys(each.parameters).sort(), each.name)
  return [user, ...toValues(each, values as never)]
}

const summary: string[] = []

for (const each of declared) {
  for (const mode of ['custom', 'generic']) {
    test(`${each.name}: its ${mode} plan reads no more than it must, by an index on user_id`, async () => {
      const own = cases[each.name]
      assert.ok(own, 'a statement needs values in this file')
      const seen: Node[] = []
      for (const { values, rows } of own) {
        for (const user of [largest, 'user-7']) {
          const nodes = await explain(each, valuesOf(each, user, values), `force_${mode}_plan`)
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
    const problems = problemsOf(await explain(each, [largest], 'force_custom_plan'), limit)
    await client.query('reset enable_indexscan; reset enable_indexonlyscan; reset enable_bitmapscan')
    assert.ok(
      problems.some((problem) => problem.includes(expected)),
      `${expected}: ${problems.join('; ')}`,
    )
  }
})
