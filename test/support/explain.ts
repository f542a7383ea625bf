import assert from 'node:assert/strict'
import pg from 'pg'
import { appRole, scopeText } from '../../src/db/scope.ts'
import { type Statement, toValues } from '../../src/db/sql.ts'
import { eventually } from './process.ts'

/** A node of a plan that was run, as EXPLAIN (ANALYZE, FORMAT JSON) shows it. */
export type PlanNode = {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Index Cond'?: string
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Heap Fetches'?: number
  readonly Plans?: readonly PlanNode[]
}

export type PlanMode = 'custom' | 'generic'

/** Runs a statement in a user's scope with one kind of plan; returns the nodes of the plan, the root first. */
export function explain(
  client: pg.Client,
  each: Statement,
  user: string,
  values: Readonly<Record<string, unknown>>,
  mode: PlanMode,
): Promise<PlanNode[]> {
  return explainText(client, each.text, [user, ...toValues(each, values as never)], mode)
}

/**
 * The same for a text and its parameters, in the scope of a role; nothing of what it does stays.
 *
 * @param values the user first, where the role is that of the scopes
 */
export async function explainText(
  client: pg.Client,
  text: string,
  values: readonly (string | null)[],
  mode: PlanMode,
  role = appRole,
): Promise<PlanNode[]> {
  await client.query('begin')
  try {
    return await explainWithin(client, text, values, mode, role)
  } finally {
    await client.query('rollback')
  }
}

/** The same within an open transaction, in which its work stays. */
export async function explainWithin(
  client: pg.Client,
  text: string,
  values: readonly (string | null)[],
  mode: PlanMode,
  role = appRole,
): Promise<PlanNode[]> {
  await client.query(scopeText, [role, role === appRole ? values[0] : '', '0'])
  await client.query(`select set_config('plan_cache_mode', $1, true)`, [`force_${mode}_plan`])
  await client.query(`prepare explained as ${text}`)
  const literals = values.map((value) => (value === null ? 'null' : pg.escapeLiteral(value)))
  const parameters = literals.length > 0 ? `(${literals.join(', ')})` : ''
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
    `explain (analyze, timing off, format json) execute explained ${parameters}`,
  )
  await client.query('deallocate explained')
  assert.ok(rows[0])
  return flatten(rows[0]['QUERY PLAN'][0].Plan)
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)]
}

type Query = (text: string) => Promise<pg.QueryResultRow[]>

/**
 * Vacuums until all pages are marked visible. One VACUUM leaves out rows whose commit is not on disk yet: with the
 * synchronous_commit = off of the tests' cluster that is up to three rounds of the WAL writer later.
 */
export async function vacuum(query: Query, table: string): Promise<void> {
  const hidden = `select sum(relpages - relallvisible)::int4 as pages from pg_class
    where relkind = 'r' and (oid = '${table}'::regclass or oid in (select relid from pg_partition_tree('${table}')))`
  await eventually(async () => {
    await query(`vacuum analyze ${table}`)
    return (await query(hidden))[0]?.pages === 0
  }, 60_000)
}
