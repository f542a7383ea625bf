import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { type Statement, sql, statement, statements } from '../../src/db/sql.ts'
// Registers every statement of the service.
import '../../src/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { explain, type PlanNode, vacuum } from '../support/explain.ts'
import { isListStatement, wholeList } from '../support/list-values.ts'

// What the statements of lists read for a user with 20,000 tasks among 40,000 of others, spread over the whole table,
// with the statistics of before the user wrote most of them, and with those of after.

const declared = [...statements.values()].filter(isListStatement)
const pages = declared.filter(({ name }) => name.startsWith('list'))
const totals = declared.filter(({ name }) => name.startsWith('count'))
const testDatabase = await createTestDatabase()
const limit = 501

/** Every second task is completed; titles, creation and last change have each an order of their own. */
async function store(user: string, first: number, last: number): Promise<void> {
  await testDatabase.query(
    `insert into app.tasks (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
    select ${user}, gen_random_uuid(), 'Task ' || md5(i::text), repeat('words ', 20), i % 2 = 0,
      case when i % 2 = 0 then created end, created, created + (i * 7 % 1000) * interval '1 hour', i
    from generate_series(${first}, ${last}) i,
      lateral (select timestamptz '2026-01-01' + (i * 7919 % 20000) * interval '10 minutes') at (created)
    order by random()`,
  )
}

await testDatabase.query('alter table app.tasks set (autovacuum_enabled = off)')
await store(`'user-' || i % 400`, 1, 40_000)
await store(`'largest'`, 1, 300)
await testDatabase.query('analyze app.tasks')
await store(`'largest'`, 301, 20_000)
await testDatabase.query(
  `insert into app.change_counters (user_id, version) select user_id, max(version) from app.tasks group by user_id`,
)
await vacuum(testDatabase.query, 'app.change_counters')
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

type Values = Readonly<Record<string, unknown>>

/** Lists of which every task passes what filters there are: they must stop at the limit. */
function wholePages({ name, parameters }: Statement): Record<string, Values> {
  const all = wholeList(parameters)
  const end = name.endsWith('descending') ? 'to' : 'from'
  const half = parameters.from === 'text' ? 'Task 8' : '2026-03-10T00:00:00.000Z'
  const early = '2025-01-01T00:00:00.000Z'
  return {
    'the first page': all,
    'a short page': { ...all, limit: 2 },
    'a page from the middle': { ...all, [end]: half },
    'a search': { ...all, q: 'TASK' },
    'all filters at once': {
      ...all,
      q: 'words',
      created_after: early,
      created_before: 'infinity',
      updated_after: early,
      updated_before: 'infinity',
    },
    'what another list is known by': { ...all, known: [1, 2, 3] },
  }
}

const columnOf = (name: string) => /by_(created_at|updated_at|title)/.exec(name)?.[1] ?? ''

/** What is wrong with the plan of a page that goes along its index up to its limit. */
function problemsOf(name: string, nodes: readonly PlanNode[], allowed: number): string[] {
  const problems = nodes
    .filter((node) => node['Relation Name'] !== 'change_counters')
    .filter((node) => /Bitmap|Seq|Gather|Incremental/.test(node['Node Type']))
    .map((node) => `${node['Node Type']} on ${node['Relation Name']}`)
  const [scan, ...others] = nodes.filter((node) => node['Relation Name'] === 'tasks')
  if (scan === undefined || others.length > 0) return [...problems, 'not one scan of tasks']
  const condition = scan['Index Cond'] ?? ''
  const expected = [/^\(\(user_id = /, new RegExp(`ROW\\(${columnOf(name)}, id\\) [<>] ROW`)]
  if (name.includes('completed')) expected.push(/ AND \(completed = /)
  problems.push(
    ...expected.filter((each) => !each.test(condition)).map((each) => `${condition} lacks ${each}`),
  )
  const read = (scan['Actual Rows'] + (scan['Rows Removed by Filter'] ?? 0)) * scan['Actual Loops']
  if (read !== allowed) problems.push(`${read} tasks read, not ${allowed}`)
  for (const sort of nodes.filter((node) => node['Node Type'] === 'Sort')) {
    if (sort['Actual Rows'] > limit) problems.push(`a sort of ${sort['Actual Rows']} rows`)
  }
  return problems
}

async function assertPlans(
  name: string,
  work: (each: Statement, mode: 'custom' | 'generic') => Promise<void>,
) {
  const each = statements.get(name)
  assert.ok(each)
  for (const mode of ['custom', 'generic'] as const) await work(each, mode)
}

const visibleLimit = statement(
  'bad: a limit that the planner sees',
  { limit: 'int8' },
  { id: 'uuid' },
  ({ user_id, limit }) => sql`
    select t.id from app.tasks t where t.user_id = ${user_id} and t.deleted_at is null
      and (t.created_at, t.id) > ('-infinity', '00000000-0000-0000-0000-000000000000')
    order by t.created_at, t.id limit ${limit}`,
)

for (const statistics of ['old', 'new'] as const) {
  test(`the statistics are ${statistics}`, async () => {
    if (statistics === 'new') {
      await vacuum(testDatabase.query, 'app.tasks')
      return
    }
    // That they matter: a limit that the planner sees would have it read and sort all there is.
    const nodes = await explain(client, visibleLimit, 'largest', { limit }, 'custom')
    assert.deepEqual(problemsOf('list_by_created_at', nodes, limit).slice(0, 2), [
      'Bitmap Heap Scan on tasks',
      'Bitmap Index Scan on undefined',
    ])
  })

  for (const { name } of pages) {
    test(`${name} with ${statistics} statistics goes along its index and stops at the limit`, async () => {
      await assertPlans(name, async (each, mode) => {
        for (const [what, values] of Object.entries(wholePages(each))) {
          const nodes = await explain(client, each, 'largest', values, mode)
          assert.deepEqual(problemsOf(name, nodes, Number(values.limit)), [], `${what}, ${mode} plan`)
        }
      })
    })

    test(`${name} with ${statistics} statistics reads no task where the client knows the list`, async () => {
      await assertPlans(name, async (each, mode) => {
        for (const known of [[20_000], [7, 20_000, 8], null]) {
          const nodes = await explain(client, each, 'largest', { ...wholeList(each.parameters), known }, mode)
          assertNoTaskRead(nodes)
          assert.equal(nodes[0]?.['Actual Rows'], 1, 'the counter')
        }
      })
    })
  }

  for (const { name } of totals) {
    test(`${name} with ${statistics} statistics reads no task where the client knows the list`, async () => {
      await assertPlans(name, async (each, mode) => {
        for (const known of [[20_000], null]) {
          assertNoTaskRead(
            await explain(client, each, 'largest', { ...wholeList(each.parameters), known }, mode),
          )
        }
      })
    })
  }
}

function assertNoTaskRead(nodes: readonly PlanNode[]): void {
  const scans = nodes.filter((node) => /_?tasks/.test(`${node['Relation Name']} ${node['Index Name']}`))
  assert.ok(scans.length > 0)
  for (const scan of scans) assert.equal(scan['Actual Loops'], 0, JSON.stringify(scan))
}

for (const { name } of totals.filter((each) => !each.name.includes('filtered'))) {
  test(`${name} has its answer from an index alone`, async () => {
    await assertPlans(name, async (each, mode) => {
      const nodes = await explain(client, each, 'largest', wholeList(each.parameters), mode)
      const scan = nodes.find((node) => node['Relation Name'] === 'tasks')
      assert.deepEqual([scan?.['Node Type'], scan?.['Heap Fetches']], ['Index Only Scan', 0])
      assert.match(scan?.['Index Cond'] ?? '', /^\(\(user_id = /)
    })
  })
}
