import assert from 'node:assert/strict'
import pg from 'pg'
import { appRole, scopeText } from '../../src/db/scope.ts'
import { type Statement, toValues } from '../../src/db/sql.ts'

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
export async function explain(
  client: pg.Client,
  each: Statement,
  user: string,
  values: Readonly<Record<string, unknown>>,
  mode: PlanMode,
): Promise<PlanNode[]> {
  await client.query('begin')
  try {
    await client.query(scopeText, [appRole, user, '0'])
    await client.query(`select set_config('plan_cache_mode', $1, true)`, [`force_${mode}_plan`])
    await client.query(`prepare explained as ${each.text}`)
    const literals = [user, ...toValues(each, values as never)].map((value) =>
      value === null ? 'null' : pg.escapeLiteral(value),
    )
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
      `explain (analyze, timing off, format json) execute explained (${literals.join(', ')})`,
    )
    await client.query('deallocate explained')
    assert.ok(rows[0])
    return flatten(rows[0]['QUERY PLAN'][0].Plan)
  } finally {
    await client.query('rollback')
  }
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)]
}
