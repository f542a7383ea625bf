import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openDatabase, type UserScope } from '../../src/db/database.ts'
import { call, sql, statement } from '../../src/db/sql.ts'
import { newUser } from '../support/app.ts'
import { cluster, createTestDatabase } from '../support/database.ts'
import { pgBouncerVersion, startPgBouncer } from '../support/pgbouncer.ts'

// Behind a pooler that gives each transaction another connection. The operations run through one too: `npm run pgbouncer`.

const version = pgBouncerVersion()
const skip = version === undefined && 'there is no PgBouncer on this machine'

const bump = statement(
  'test_pooled_bump',
  {},
  { version: 'int8' },
  ({ user_id }) => sql`
  insert into app.change_counters as c (user_id, version) values (${user_id}, 1)
  on conflict (user_id) do update set version = c.version + 1 returning c.version`,
)
const whoAmI = statement(
  'test_pooled_user',
  {},
  { user: 'text', role: 'text', in_transaction: 'text' },
  ({ user_id }) => sql`
  select current_setting('app.user_id') as user, current_user::text as role,
    current_setting('idle_in_transaction_session_timeout') as in_transaction
  where ${user_id} <> ''`,
)

test('every write is made once and every scope is its own, though prepared statements are lost', {
  skip,
}, async (t) => {
  const testDatabase = await createTestDatabase()
  const pooler = await startPgBouncer(cluster().connection)
  let lost = 0
  const database = openDatabase({
    connection: { ...pooler.connection, database: testDatabase.name },
    poolMax: 8,
    onPreparedStatementLost: () => lost++,
  })
  after(async () => {
    await database.close()
    await pooler.stop()
    await testDatabase.drop()
  })
  await database.prepare()
  const scopes = Array.from({ length: 20 }, () => database.scopeFor(newUser()))
  const work: ((scope: UserScope) => Promise<unknown>)[] = [
    (scope) => scope.run(bump, {}),
    (scope) => scope.runAll([call(bump, {}), call(whoAmI, {})]),
    (scope) =>
      scope.transaction(async (transaction) => {
        transaction.queue(call(bump, {}))
        const [seen] = await transaction.run(whoAmI, {})
        assert.deepEqual(seen, { user: scope.userId, role: 'backend_core_app', in_transaction: '10s' })
        await assert.rejects(
          transaction.transaction(async (part) => {
            await part.run(bump, {})
            throw new Error('undone')
          }),
          /undone/,
        )
      }),
  ]
  for (let round = 0; round < 10; round++) {
    await Promise.all(scopes.flatMap((scope) => work.map((each) => each(scope))))
  }
  for (const scope of scopes) {
    assert.deepEqual(await scope.run(bump, {}), [{ version: 31 }])
    const [seen] = await scope.run(whoAmI, {})
    assert.equal(seen?.in_transaction, '0', 'nothing of a transaction is left')
  }
  t.diagnostic(`PgBouncer ${version}: found out ${lost} times that it keeps no prepared statements`)
  assert.ok(lost <= 1)
})
