import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { observerRole } from '../../src/db/scope.ts'
import { observerStatements, type Statement, sql, statement, statements, toValues } from '../../src/db/sql.ts'
import { createTestDatabase } from '../support/database.ts'
import { explainText, type PlanNode } from '../support/explain.ts'
import {
  fillForPlans,
  largestUser,
  longestPage,
  observerCases,
  planCases,
  type Values,
} from '../support/plan-cases.ts'

// What each statement reads, on 100,000 tasks of 1,000 users and 5,000 of one more: under the scope's role and user,
// with the plan made for the values and with the plan made for any, in a transaction that is rolled back.

const declared = [...statements.values()]
const testDatabase = await createTestDatabase()
await fillForPlans(testDatabase)
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

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
    if (type.includes('Sort') && (node.Plans ?? []).some((input) => rowsOf(input) > longestPage)) {
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
      const own = planCases[each.name]
      assert.ok(own, 'a statement needs values in this file')
      const seen: PlanNode[] = []
      for (const { values, rows } of own) {
        for (const user of [largestUser, 'user-7']) {
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
  assert.deepEqual(Object.keys(planCases).sort(), declared.map(({ name }) => name).sort())
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
    const problems = problemsOf(await explainText(client, each.text, [largestUser], 'custom'), longestPage)
    await client.query('reset enable_indexscan; reset enable_indexonlyscan; reset enable_bitmapscan')
    assert.ok(
      problems.some((problem) => problem.includes(expected)),
      `${expected}: ${problems.join('; ')}`,
    )
  }
})
