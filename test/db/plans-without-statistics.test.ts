import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { appRole, scopeText } from '../../src/db/scope.ts'
import { statements, toValues } from '../../src/db/sql.ts'
// Registers every statement of the service.
import '../../src/app.ts'
import { createTestDatabase } from '../support/database.ts'

// How one task is found while the planner knows nothing of the tables, as on a new database that fills fast: nobody has
// analysed it yet, and the plans that are made now are used until somebody does.

const user = 'user-0'
const testDatabase = await createTestDatabase()
await testDatabase.query('alter table app.tasks set (autovacuum_enabled = false)')
await testDatabase.query(`
  insert into app.tasks (user_id, id, title, completed, created_at, updated_at, version)
  select '${user}', md5(i::text)::uuid, 'Task ' || i, false, now(), now(), i from generate_series(1, 5000) i`)
await testDatabase.query(`insert into app.change_counters (user_id, version) values ('${user}', 5000)`)
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

const [some] = await testDatabase.query<{ id: string }>('select id from app.tasks where version = 2500')
assert.ok(some)
const { id } = some
const content = { title: 'New', description: null, completed: false }
const change = { title: 'New', set_description: false, description: null, completed: null, toggle: false }

const cases: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  get_task: { id },
  create_task: { id: randomUUID(), ...content },
  create_tasks: { tasks: [{ id: randomUUID(), ...content }] },
  update_task: { id, ...change, if_match: null },
  delete_task: { id, if_match: null },
}

async function indexesOf(name: string, mode: string): Promise<string[]> {
  const each = statements.get(name)
  assert.ok(each)
  await client.query('begin')
  try {
    await client.query(scopeText, [appRole, user, '0'])
    await client.query(`select set_config('plan_cache_mode', $1, true)`, [mode])
    await client.query(`prepare explained as ${each.text}`)
    const values = [user, ...toValues(each, cases[name] as never)]
    const literals = values.map((value) => (value === null ? 'null' : pg.escapeLiteral(value)))
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `explain execute explained (${literals.join(', ')})`,
    )
    await client.query('deallocate explained')
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    assert.doesNotMatch(plan, /Seq Scan on tasks/)
    return Array.from(plan.matchAll(/Scan(?: using| on) (tasks_\w+)/g), ([, index]) => index ?? '')
  } finally {
    await client.query('rollback')
  }
}

for (const name of Object.keys(cases)) {
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    test(`${name} finds its task by the primary key, with ${mode}`, async () => {
      const indexes = await indexesOf(name, mode)
      assert.deepEqual([...new Set(indexes)], ['tasks_pkey'])
    })
  }
}
