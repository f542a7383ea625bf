import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { openDatabase } from '../../src/db/database.ts'
import { observerRole, scopeText } from '../../src/db/scope.ts'
import { observerStatements, toValues } from '../../src/db/sql.ts'
import { readChangedCounters } from '../../src/tasks/changes-store.ts'
import { createTestDatabase } from '../support/database.ts'
import { vacuum } from '../support/explain.ts'

// The one question that is asked across users: whose counter is at another number than is known?

const testDatabase = await createTestDatabase()
const database = openDatabase({ connection: testDatabase.connection, poolMax: 1 })
await database.prepare()
await testDatabase.query(
  `insert into app.change_counters (user_id, version) select 'user-' || i, i from generate_series(1, 20000) i`,
)
await vacuum(testDatabase.query, 'app.change_counters')
after(async () => {
  await database.close()
  await testDatabase.drop()
})

const listening = (count: number) =>
  new Map(Array.from({ length: count }, (_, index) => [`user-${index + 1}`, index + 1]))

test('it answers with those that have changed, in either direction, and with no other', async () => {
  const known = listening(100).set('user-7', 6).set('user-9', 10).set('nobody', 0)
  const changed = await readChangedCounters(database.observer, known)
  assert.deepEqual(
    changed.toSorted((a, b) => a.version - b.version),
    [
      { user_id: 'user-7', version: 7 },
      { user_id: 'user-9', version: 9 },
    ],
  )
  assert.deepEqual(await readChangedCounters(database.observer, new Map()), [])
})

test('any text can be a user id', async () => {
  const ids = ['"', '\\', ',', '{}', 'NULL', ' ', "'", '\n', '\u{1f600}', 'é']
  for (const id of ids)
    await testDatabase.query('insert into app.change_counters (user_id, version) values ($1, 5)', [id])
  const changed = await readChangedCounters(database.observer, new Map(ids.map((id) => [id, 4])))
  assert.deepEqual(changed.map(({ user_id }) => user_id).sort(), ids.toSorted())
})

// The planner expects each look-up to go to every partition, and so prefers to read tables as small as these.
const [counters] = await testDatabase.query(
  `select relkind = 'p' as partitioned from pg_class where oid = 'app.change_counters'::regclass`,
)
const skip = counters?.partitioned && 'not with partitions, where it takes more users for the index to pay'

test('whatever the plan is made for, few listeners are looked up by the index', { skip }, async (t) => {
  const statement = observerStatements.get('changed_counters')
  assert.ok(statement)
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  t.after(() => client.end())
  await client.query(`prepare asked as ${statement.text}`)
  const known = listening(50)
  const values = toValues(statement, { user_ids: [...known.keys()], versions: [...known.values()] } as never)
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    await client.query('begin')
    await client.query(scopeText, [observerRole, '', '0'])
    await client.query(`select set_config('plan_cache_mode', $1, true)`, [mode])
    const literals = values.map((value) => pg.escapeLiteral(String(value))).join(', ')
    const { rows } = await client.query(`explain (analyze, format text) execute asked (${literals})`)
    await client.query('rollback')
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    assert.match(plan, /Index (Only )?Scan using change_counters_pkey/, plan)
    assert.doesNotMatch(plan, /Seq Scan/, plan)
  }
})
