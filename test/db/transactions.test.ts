import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { openDatabase, type UserScope } from '../../src/db/database.ts'
import { call, observerStatement, sql, statement } from '../../src/db/sql.ts'
import { AppError } from '../../src/errors.ts'
import { findTask, insertTask } from '../../src/tasks/store.ts'
import { newUser } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'

// What several statements of one user do together, on one connection, so that nothing hides behind another.

const testDatabase = await createTestDatabase()
const committed: string[] = []
const onCommit = (userId: string) => committed.push(userId)
const { connection } = testDatabase
const database = openDatabase({ connection, poolMax: 1, deadlineMs: 2_000, onCommit })
await database.prepare()
after(async () => {
  await database.close()
  await testDatabase.drop()
})

const bump = statement(
  'test_bump',
  { by: 'int8' },
  { version: 'int8' },
  ({ user_id, by }) => sql`
  insert into app.change_counters as c (user_id, version) values (${user_id}, ${by})
  on conflict (user_id) do update set version = c.version + excluded.version returning c.version`,
)
const read = statement(
  'test_read',
  {},
  { version: 'int8' },
  ({ user_id }) => sql`select version from app.change_counters where user_id = ${user_id}`,
)
const whole = statement(
  'test_whole',
  { text: 'text' },
  { number: 'int4' },
  ({ user_id, text }) => sql`select ${text}::int as number where ${user_id} <> ''`,
)
const failing = statement('test_failing', {}, {}, ({ user_id }) => sql`select 1 / 0 where ${user_id} <> ''`)
const sleep = statement(
  'test_sleep',
  {},
  { slept: 'text' },
  ({ user_id }) => sql`select pg_sleep(60)::text as slept where ${user_id} <> ''`,
)
const newTask = () => ({ id: randomUUID(), title: 'x', description: null, completed: false })

async function stored(user: string): Promise<number | undefined> {
  const rows = await testDatabase.query<{ version: string }>(
    'select version from app.change_counters where user_id = $1',
    [user],
  )
  return rows[0] && Number(rows[0].version)
}

function scopeOfNewUser(): UserScope {
  return database.scopeFor(newUser())
}

async function tripsOf(work: () => Promise<unknown>): Promise<number> {
  const before = database.roundTrips
  await work()
  return database.roundTrips - before
}

test('several statements in one round trip see what those before them did, and are one transaction', async () => {
  const scope = scopeOfNewUser()
  const trips = await tripsOf(async () => {
    const results = await scope.runAll([
      call(bump, { by: 2 }),
      call(whole, { text: '7' }),
      call(bump, { by: 3 }),
      call(read, {}),
    ])
    assert.deepEqual(results, [[{ version: 2 }], [{ number: 7 }], [{ version: 5 }], [{ version: 5 }]])
  })
  assert.equal(trips, 1)
  await assert.rejects(scope.runAll([call(bump, { by: 1 }), call(failing, {})]), { code: '22012' })
  assert.equal(await stored(scope.userId), 5)
})

test('statements that were not reached after an error are parsed by the next use, and those before are not again', async () => {
  const scope = scopeOfNewUser()
  const [first, second] = ['a', 'b'].map((letter) =>
    statement(
      `test_parsed_${letter}`,
      {},
      { version: 'int8' },
      ({ user_id }) => sql`select 1::int8 as version where ${user_id} <> ''`,
    ),
  )
  assert.ok(first && second)
  for (let round = 0; round < 2; round++) {
    await assert.rejects(scope.runAll([call(first, {}), call(failing, {}), call(second, {})]), {
      code: '22012',
    })
    const one = [{ version: 1 }]
    assert.deepEqual(await scope.runAll([call(first, {}), call(second, {}), call(first, {})]), [
      one,
      one,
      one,
    ])
  }
})

test('a transaction that succeeds is there, one that throws is not, and its error comes out as it is', async () => {
  const scope = scopeOfNewUser()
  const task = newTask()
  const trips = await tripsOf(async () => {
    const done = await scope.transaction(async (transaction) => {
      await transaction.run(bump, { by: 1 })
      await insertTask(transaction, task)
      return 'done'
    })
    assert.equal(done, 'done')
  })
  assert.equal(trips, 3, 'the begin goes with the first statement; the commit is one more')
  assert.equal((await findTask(scope, task.id))?.version, 2)
  const error = new AppError('TASK_NOT_FOUND')
  const refused = scope.transaction(async (transaction) => {
    await transaction.run(bump, { by: 10 })
    throw error
  })
  await assert.rejects(refused, (thrown) => thrown === error)
  assert.equal(await stored(scope.userId), 2)
  assert.deepEqual(await scope.run(read, {}), [{ version: 2 }], 'the connection is good still')
})

test('a queued statement goes with the next round trip, the commit at the latest', async () => {
  const scope = scopeOfNewUser()
  const trips = await tripsOf(() =>
    scope.transaction(async (transaction) => {
      transaction.queue(call(bump, { by: 1 }))
      assert.deepEqual(await transaction.run(read, {}), [{ version: 1 }])
      transaction.queue(call(bump, { by: 1 }))
    }),
  )
  assert.equal(trips, 2)
  assert.equal(await stored(scope.userId), 2)
  await scope.transaction(async (transaction) => transaction.queue(call(bump, { by: 5 })))
  assert.equal(await stored(scope.userId), 7, 'also when there is nothing else')
  await assert.rejects(
    scope.transaction(async (transaction) => transaction.queue(call(failing, {}))),
    { code: '22012' },
  )
})

test('a transaction of nothing asks the database nothing', async () => {
  assert.equal(await tripsOf(() => scopeOfNewUser().transaction(async () => 1)), 0)
})

test('a part that throws is undone alone, whatever it was: refused by us or by the server', async () => {
  const scope = scopeOfNewUser()
  await scope.transaction(async (transaction) => {
    await transaction.run(bump, { by: 1 })
    for (const last of [
      async () => Promise.reject(new AppError('TASK_EXISTS')),
      async (part: UserScope) => void (await part.run(failing, {})),
    ]) {
      const part = transaction.transaction(async (inner) => {
        await inner.run(bump, { by: 10 })
        inner.queue(call(bump, { by: 100 }))
        await last(inner)
      })
      await assert.rejects(part)
    }
    // Begun, and given up before anything was sent.
    await assert.rejects(
      transaction.transaction(() => Promise.reject(new Error('early'))),
      /early/,
    )
    await transaction.transaction(async (inner) => {
      await inner.transaction(async (innermost) => void (await innermost.run(bump, { by: 1 })))
      await assert.rejects(
        inner.transaction(async (innermost) => {
          await innermost.run(bump, { by: 1000 })
          throw new Error('deep')
        }),
        /deep/,
      )
    })
  })
  assert.equal(await stored(scope.userId), 2)
})

test('a transaction whose failed statement was swallowed is not taken for committed', async () => {
  const scope = scopeOfNewUser()
  const swallowed = scope.transaction(async (transaction) => {
    await transaction.run(bump, { by: 1 })
    await transaction.run(failing, {}).catch(() => {})
  })
  await assert.rejects(swallowed, /ended with ROLLBACK, not with COMMIT/)
  assert.equal(await stored(scope.userId), undefined)
})

test('in a snapshot every statement sees the first moment, and none can write', async () => {
  const scope = scopeOfNewUser()
  await scope.run(bump, { by: 1 })
  await scope.transaction(
    async (transaction) => {
      assert.deepEqual(await transaction.run(read, {}), [{ version: 1 }])
      await testDatabase.query('update app.change_counters set version = 9 where user_id = $1', [
        scope.userId,
      ])
      assert.deepEqual(await transaction.run(read, {}), [{ version: 1 }])
    },
    { snapshot: true },
  )
  await assert.rejects(
    scope.transaction((transaction) => transaction.run(bump, { by: 1 }), { snapshot: true }),
    (error) =>
      error instanceof AppError && error.cause instanceof pg.DatabaseError && error.cause.code === '25006',
  )
  assert.deepEqual(await scope.run(read, {}), [{ version: 9 }])
})

test('a transaction that takes too long is ended, and what it did is undone', async () => {
  const scope = scopeOfNewUser()
  const slow = scope.transaction(
    async (transaction) => {
      await transaction.run(bump, { by: 1 })
      await transaction.run(sleep, {})
    },
    { timeoutMs: 50 },
  )
  await assert.rejects(slow, { code: 'DATABASE_UNAVAILABLE' })
  assert.equal(await stored(scope.userId), undefined)
  assert.deepEqual(await scope.run(read, {}), [])
})

test('what runs on after its transaction has ended reaches no connection', async () => {
  const scope = scopeOfNewUser()
  let left: UserScope | undefined
  await scope.transaction(async (transaction) => {
    left = transaction
    await transaction.run(bump, { by: 1 })
  })
  assert.ok(left)
  await assert.rejects(left.run(bump, { by: 1 }), { code: 'DATABASE_UNAVAILABLE' })
  assert.equal(await stored(scope.userId), 1)
})

test('a transaction whose service vanishes is ended by the server', async () => {
  const limit = statement(
    'test_limit',
    {},
    { limit: 'text' },
    ({ user_id }) => sql`
    select current_setting('idle_in_transaction_session_timeout') as limit where ${user_id} <> ''`,
  )
  const scope = scopeOfNewUser()
  const within = await scope.transaction((transaction) => transaction.run(limit, {}))
  assert.deepEqual(within, [{ limit: '10s' }])
  assert.deepEqual(await scope.run(limit, {}), [{ limit: '0' }], 'nothing of it is left')
})

test('commits that may have changed something are told, each once; reads and what was undone are not', async () => {
  const scope = scopeOfNewUser()
  const told = () => committed.filter((user) => user === scope.userId).length
  await scope.run(read, {})
  await scope.runShort(call(read, {}))
  await scope.transaction((transaction) => transaction.run(read, {}))
  await assert.rejects(scope.runAll([call(bump, { by: 1 }), call(failing, {})]))
  await assert.rejects(
    scope.transaction(async (transaction) => {
      await transaction.run(bump, { by: 1 })
      assert.equal(told(), 0, 'not before the commit')
      throw new Error('undone')
    }),
  )
  assert.equal(told(), 0)
  await scope.run(bump, { by: 1 })
  assert.equal(told(), 1)
  await scope.runAll([call(bump, { by: 1 }), call(bump, { by: 1 })])
  assert.equal(told(), 2)
  await scope.runShort(call(bump, { by: 1 }))
  assert.equal(told(), 3)
  await scope.transaction(async (transaction) => {
    transaction.queue(call(bump, { by: 1 }))
    await transaction.run(bump, { by: 1 })
  })
  assert.equal(told(), 4)
})

const versions = observerStatement(
  'test_versions',
  { users: '_text' },
  { user_id: 'text', version: 'int8' },
  ({ users }) => sql`
  select user_id, version from app.change_counters where user_id = any(${users}) order by user_id`,
)

test('the observer sees the counters of many users, whatever their ids are made of, and can change nothing', async () => {
  const users = [`a"b\\c{d},'e' ${newUser()}`, `é ${newUser()}`, `NULL ${newUser()}`].sort()
  for (const [index, user] of users.entries()) await database.scopeFor(user).run(bump, { by: index + 1 })
  const found = await database.observer.run(versions, { users: [...users, newUser()] })
  assert.deepEqual(
    new Map(found.map((row) => [row.user_id, row.version])),
    new Map(users.map((u, i) => [u, i + 1])),
  )
  assert.deepEqual(await database.observer.run(versions, { users: [] }), [])
  for (const [name, text] of [
    ['text', sql`select title from app.tasks`],
    ['ids', sql`select id::text from app.deletions`],
    ['answers', sql`select answer::text from app.idempotency_keys`],
    ['write', sql`update app.change_counters set version = 9 returning user_id`],
  ] as const) {
    const tried = observerStatement(`test_${name}`, {}, { found: 'text' }, () => text)
    await assert.rejects(database.observer.run(tried, {}), { code: '42501' })
  }
})

test('a connection that breaks in a transaction is an error, and the next has another', async () => {
  const scope = scopeOfNewUser()
  const pid = statement(
    'test_pid',
    {},
    { pid: 'int4' },
    ({ user_id }) => sql`select pg_backend_pid() as pid where ${user_id} <> ''`,
  )
  const broken = scope.transaction(async (transaction) => {
    await transaction.run(bump, { by: 1 })
    const [row] = await transaction.run(pid, {})
    const killer = new pg.Client(connection)
    await killer.connect()
    await killer.query('select pg_terminate_backend($1)', [row?.pid])
    await killer.end()
    await transaction.run(bump, { by: 1 })
  })
  await assert.rejects(broken, { code: 'DATABASE_UNAVAILABLE' })
  assert.equal(await stored(scope.userId), undefined)
  assert.deepEqual(await scope.run(bump, { by: 1 }), [{ version: 1 }])
})
