import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { openDatabase, type UserScope } from '../../src/db/database.ts'
import { call, sql, statement } from '../../src/db/sql.ts'
import { insertTask } from '../../src/tasks/store.ts'
import { newUser } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { until } from '../support/embedded-place.ts'

// Work is run again where that can do no harm, and only there. The server is made to fail a number of times by functions
// whose counts outlive the transactions that they end.

const testDatabase = await createTestDatabase()
await testDatabase.query(`
  create sequence public.failures;
  create function public.fail(times int, code text) returns int language plpgsql security definer as $$
    begin
      if nextval('public.failures') <= times then
        if code = 'cut' then
          perform pg_terminate_backend(pg_backend_pid());
          perform pg_sleep(5);
        end if;
        raise exception 'made to fail' using errcode = code;
      end if;
      return lastval();
    end $$`)
const database = openDatabase({
  // Looks for a deadlock before the other side of it does.
  connection: { ...testDatabase.connection, options: '-c deadlock_timeout=20ms' },
  poolMax: 2,
})
await database.prepare()
after(async () => {
  await database.close()
  await testDatabase.drop()
})

const bump = statement(
  'test_retry_bump',
  {},
  { version: 'int8' },
  ({ user_id }) => sql`
  insert into app.change_counters as c (user_id, version) values (${user_id}, 1)
  on conflict (user_id) do update set version = c.version + 1 returning c.version`,
)
const fail = statement(
  'test_retry_read',
  { times: 'int4', code: 'text' },
  { tries: 'int4' },
  ({ user_id, times, code }) => sql`select public.fail(${times}, ${code}) as tries where ${user_id} <> ''`,
)
const failAndWrite = statement(
  'test_retry_write',
  { times: 'int4', code: 'text' },
  { tries: 'int4' },
  ({ user_id, times, code }) => sql`
  with failed as (select public.fail(${times}, ${code}) as tries), counted as (
    insert into app.change_counters as c (user_id, version) select ${user_id}, 1 from failed
    on conflict (user_id) do update set version = c.version + 1)
  select tries from failed`,
)
const lockTask = statement(
  'test_retry_lock',
  { id: 'uuid' },
  { id: 'uuid' },
  ({ user_id, id }) =>
    sql`select t.id from app.tasks t where t.user_id = ${user_id} and t.id = ${id} for update`,
)

async function triesAfter<T>(
  work: () => Promise<T>,
): Promise<{ tries: number; error?: unknown; result?: T }> {
  await testDatabase.query(`alter sequence public.failures restart`)
  const outcome = await work().then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  )
  const [row] = await testDatabase.query<{ tries: number }>(
    'select (case when is_called then last_value else 0 end)::int as tries from public.failures',
  )
  return { tries: row?.tries ?? 0, ...outcome }
}

async function counterOf(user: string): Promise<number> {
  const [row] = await testDatabase.query<{ version: string }>(
    'select version from app.change_counters where user_id = $1',
    [user],
  )
  return Number(row?.version ?? 0)
}

for (const code of ['40001', '40P01']) {
  test(`a conflict (${code}) is tried again, twice at most, and what it wrote is there once`, async () => {
    const scope = database.scopeFor(newUser())
    for (const [times, tries] of [
      [1, 2],
      [2, 3],
      [3, 3],
    ] as const) {
      const before = await counterOf(scope.userId)
      const alone = await triesAfter(() => scope.run(failAndWrite, { times, code }))
      assert.equal(alone.tries, tries)
      const together = await triesAfter(() =>
        scope.runAll([call(bump, {}), call(fail, { times, code })] as const),
      )
      assert.equal(together.tries, tries)
      const transaction = await triesAfter(() =>
        scope.transaction(async (each) => {
          await each.run(bump, {})
          return each.run(fail, { times, code })
        }),
      )
      assert.equal(transaction.tries, tries)
      const succeeded = times < 3
      assert.equal((await counterOf(scope.userId)) - before, succeeded ? 3 : 0)
      for (const { error, result } of [alone, together, transaction]) {
        if (succeeded) assert.ok(result)
        else assert.equal((error as { code: string }).code, 'DATABASE_UNAVAILABLE')
      }
    }
  })
}

test('a read whose connection is cut is tried again on another', async () => {
  const scope = database.scopeFor(newUser())
  const values = { times: 1, code: 'cut' }
  assert.deepEqual((await triesAfter(() => scope.run(fail, values))).result, [{ tries: 2 }])
  const snapshot = () => scope.transaction((each) => each.run(fail, values), { snapshot: true })
  // nextval writes, which a read-only transaction refuses: it is not the connection then, and not tried again.
  assert.equal((await triesAfter(snapshot)).tries, 0)
})

test('a write whose connection is cut is not: whether it was committed cannot be known', async () => {
  const scope = database.scopeFor(newUser())
  const values = { times: 1, code: 'cut' }
  for (const work of [
    () => scope.run(failAndWrite, values),
    () => scope.runAll([call(bump, {}), call(fail, values)] as const),
    () =>
      scope.transaction(async (each) => {
        await each.run(bump, {})
        return each.run(fail, values)
      }),
  ]) {
    const { tries, error } = await triesAfter<unknown>(work)
    assert.equal(tries, 1)
    assert.equal((error as { code: string }).code, 'DATABASE_UNAVAILABLE')
  }
  assert.equal(await counterOf(scope.userId), 0)
})

test('what the server refuses for itself is not tried again', async () => {
  const scope = database.scopeFor(newUser())
  for (const [code, told] of [
    ['22012', '22012'],
    ['23505', '23505'],
    ['53100', 'DATABASE_UNAVAILABLE'],
    ['25006', 'DATABASE_UNAVAILABLE'],
    ['57014', 'DATABASE_UNAVAILABLE'],
  ] as const) {
    const { tries, error } = await triesAfter(() => scope.run(fail, { times: 1, code }))
    assert.deepEqual([tries, (error as { code: string }).code], [1, told])
  }
})

test('the victim of a real deadlock is run again, and both sides come through', async () => {
  const scope = database.scopeFor(newUser())
  const task = { id: randomUUID(), title: 'x', description: null, completed: false }
  await insertTask(scope, task)
  const other = new pg.Client(testDatabase.connection)
  await other.connect()
  await other.query('begin')
  await other.query('select from app.tasks where user_id = $1 for update', [scope.userId])
  const { pid } = (await other.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0] ?? {}
  let otherCounts: Promise<unknown> | undefined
  let runs = 0
  await scope.transaction(async (transaction) => {
    runs++
    // The counter first, as everything here does; the other has the task, and asks for the counter now.
    await transaction.run(bump, {})
    otherCounts ??= other
      .query('update app.change_counters set version = version + 1 where user_id = $1', [scope.userId])
      .then(() => other.query('commit'))
    // Only now both would wait for each other.
    await until('the other waits', async () => {
      const waiting = await testDatabase.query(
        'select from pg_stat_activity where pid = $1 and wait_event_type = $2',
        [pid, 'Lock'],
      )
      return waiting.length === 1 || runs > 1
    })
    await transaction.run(lockTask, { id: task.id })
  })
  await otherCounts
  await other.end()
  assert.ok(runs >= 2)
  assert.equal(await counterOf(scope.userId), 3)
})

test('a connection that cannot be taken out of its transaction is not used again', async () => {
  // As a pooler does that gives the next statement another connection: what was prepared is gone.
  await testDatabase.query(`
    create function public.forget() returns int language plpgsql as $$ begin deallocate all; return 1; end $$`)
  const forget = statement(
    'test_retry_forget',
    {},
    { done: 'int4' },
    ({ user_id }) => sql`select public.forget() as done where ${user_id} <> ''`,
  )
  const alone = openDatabase({ connection: testDatabase.connection, poolMax: 1 })
  await alone.prepare()
  try {
    const scope = alone.scopeFor(newUser())
    let runs = 0
    const undone = (last: (each: UserScope) => Promise<unknown>) =>
      scope.transaction(async (each) => {
        runs++
        await each.run(bump, {})
        await last(each)
        throw new Error('undone')
      })
    await assert.rejects(
      undone(async () => {}),
      /undone/,
    )
    await assert.rejects(
      undone((each) => each.run(forget, {})),
      /undone/,
    )
    assert.equal(runs, 2)
    assert.deepEqual(await scope.run(bump, {}), [{ version: 1 }])
  } finally {
    await alone.close()
  }
})
