import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, mock, test } from 'node:test'
import pg from 'pg'
import { openDatabase } from '../../src/db/database.ts'
import { runSweeps, type Sweep, type SweepOptions, sweep } from '../../src/tasks/sweep.ts'
import { sweepLockKey } from '../../src/tasks/sweep-store.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import {
  allTrashed,
  assertFeedTellsOf,
  leftOf,
  newUsers,
  storeDeletions,
  storeKeys,
} from '../support/due-rows.ts'
import { eventually } from '../support/process.ts'
import { counterOf, deletionsOf, makeTrashedTask, storeTrash } from '../support/trash.ts'

// What a sweep removes and what it leaves. A sweep goes through all users, so each test has a database of its own.

const retention = { trashDays: 30, deletionsDays: 90 }
const nothing = { trash: 0, deletions: 0, keys: 0, failures: 0, error: undefined }
const never = new AbortController().signal

async function open(t: { after: (work: () => Promise<void>) => void }) {
  const testDatabase = await createTestDatabase()
  const database = openDatabase({ connection: testDatabase.connection, poolMax: 4 })
  await database.prepare()
  t.after(async () => {
    await database.close()
    await testDatabase.drop()
  })
  const run = (options: Partial<SweepOptions> = {}): Promise<Sweep> =>
    sweep({ database, retention, signal: never, pauseMs: 0, ...options })
  return { testDatabase, database, run }
}

/** Holds the lock that a sweep takes, as another instance does while it removes a batch. */
async function holdSweepLock({ connection }: TestDatabase): Promise<() => Promise<void>> {
  const client = new pg.Client(connection)
  await client.connect()
  await client.query('begin')
  await client.query('select pg_advisory_xact_lock($1)', [sweepLockKey])
  return async () => {
    await client.query('rollback')
    await client.end()
  }
}

test('a task stays in the trash for the days of retention to the minute, then it goes for good', async (t) => {
  const { testDatabase, run } = await open(t)
  const user = newUser()
  await storeTrash({ testDatabase }, user, 1, '30 days')
  const [gone] = await allTrashed(testDatabase)
  await storeTrash({ testDatabase }, user, 3, '29 days 23 hours 59 minutes')
  assert.deepEqual(await run(), { ...nothing, trash: 1, end: 'finished' })
  assert.deepEqual(await leftOf(testDatabase, user), { tasks: 3, deletions: 1, keys: 0 })
  assert.deepEqual(await deletionsOf(testDatabase, user), [{ id: gone?.id, version: 1 }])
  assert.deepEqual(await counterOf(testDatabase, user), { version: 5, expired_before: 0 })
  assert.deepEqual(await run(), { ...nothing, end: 'finished' })
  assert.deepEqual(await counterOf(testDatabase, user), { version: 5, expired_before: 0 }, 'nothing was due')
  assert.equal((await run({ retention: { ...retention, trashDays: 29 } })).trash, 3)
})

test('a deletion is told of for its days, then cursors from before it expire, and none from after it', async (t) => {
  const { testDatabase, run } = await open(t)
  const user = newUser()
  await storeDeletions(testDatabase, user, 2, '90 days')
  await storeDeletions(testDatabase, user, 2, '89 days 23 hours 59 minutes')
  await storeDeletions(testDatabase, user, 1, '91 days')
  await storeDeletions(testDatabase, user, 1, '1 day')
  assert.deepEqual(await run({ batchRows: 2 }), { ...nothing, deletions: 3, end: 'finished' })
  const left = (await deletionsOf(testDatabase, user)).map(({ version }) => version)
  assert.deepEqual(left, [3, 4, 6])
  assert.deepEqual(await counterOf(testDatabase, user), { version: 6, expired_before: 5 })
})

test('what cursors have expired already stays expired', async (t) => {
  const { testDatabase, run } = await open(t)
  const user = newUser()
  await storeDeletions(testDatabase, user, 2, '91 days')
  await testDatabase.query('update app.change_counters set version = 9, expired_before = 7')
  assert.equal((await run()).deletions, 2)
  assert.deepEqual(await counterOf(testDatabase, user), { version: 9, expired_before: 7 })
})

test('a deletion is kept from its removal for good on, however long the task was in the trash', async (t) => {
  const { testDatabase, run } = await open(t)
  const user = newUser()
  await storeTrash({ testDatabase }, user, 2, '400 days')
  assert.deepEqual(await run(), { ...nothing, trash: 2, end: 'finished' })
  assert.deepEqual(await run(), { ...nothing, end: 'finished' })
  assert.deepEqual(await leftOf(testDatabase, user), { tasks: 0, deletions: 2, keys: 0 })
})

test('an idempotency key goes when it has expired, and not before', async (t) => {
  const { testDatabase, run } = await open(t)
  const user = newUser()
  await storeKeys(testDatabase, user, 3, '0 seconds')
  await storeKeys(testDatabase, user, 2, '-1 minute')
  assert.deepEqual(await run(), { ...nothing, keys: 3, end: 'finished' })
  assert.deepEqual(await leftOf(testDatabase, user), { tasks: 0, deletions: 0, keys: 2 })
  assert.deepEqual(await counterOf(testDatabase, user), { version: 0, expired_before: 0 })
})

test('the key of a user who has nothing else is found too', async (t) => {
  const { testDatabase, run } = await open(t)
  const service = await startApp({ testDatabase })
  const user = service.as(newUser())
  const headers = { 'idempotency-key': randomUUID() }
  const answer = await user.post(`/api/me/tasks/${randomUUID()}/restore`, undefined, headers)
  assert.equal(answer.status, 404)
  assert.deepEqual(await run(), { ...nothing, end: 'finished' })
  await testDatabase.query(`update app.idempotency_keys set expires_at = expires_at - interval '24 hours'`)
  assert.deepEqual(await run(), { ...nothing, keys: 1, end: 'finished' })
  await service.stop()
})

test('an expired idempotency key that a request is about to replace is passed over', async (t) => {
  const { testDatabase, run } = await open(t)
  await storeKeys(testDatabase, newUser(), 2, '1 day')
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  await client.query('begin')
  await client.query('select from app.idempotency_keys limit 1 for update')
  assert.equal((await run()).keys, 1)
  await client.query('rollback')
  await client.end()
  assert.equal((await run()).keys, 1)
})

test('a live task is never due, however old, and neither is what is in the trash since today', async (t) => {
  const { testDatabase, run } = await open(t)
  const service = await startApp({ testDatabase })
  const user = service.as(newUser())
  await makeTask(user)
  await makeTrashedTask(user)
  const restored = await makeTrashedTask(user)
  await user.post(`/api/me/tasks/${restored.id}/restore`)
  await testDatabase.query(`update app.tasks set created_at = '2001-01-01', updated_at = '2001-01-01'`)
  assert.deepEqual(await run(), { ...nothing, end: 'finished' })
  // Neither where something else of the same user is due.
  await storeTrash({ testDatabase }, user.userId, 1, '31 days')
  assert.deepEqual(await run(), { ...nothing, trash: 1, end: 'finished' })
  assert.equal((await leftOf(testDatabase)).tasks, 3)
  await service.stop()
})

test("the time is the database's: a process whose clock is years ahead removes nothing more", async (t) => {
  const { testDatabase, run } = await open(t)
  await storeTrash({ testDatabase }, newUser(), 1, '29 days')
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 4e11 })
  after(() => mock.timers.reset())
  assert.deepEqual(await run(), { ...nothing, end: 'finished' })
  mock.timers.reset()
})

test('what is due of many users goes in batches, page by page, and of no user is anything left', async (t) => {
  const { testDatabase, run } = await open(t)
  const users = newUsers(23)
  for (const [place, user] of users.entries()) {
    if (place % 3 !== 1) await storeTrash({ testDatabase }, user, 11, '31 days')
    await storeTrash({ testDatabase }, user, 2, '1 day')
    if (place % 4 === 0) await storeDeletions(testDatabase, user, 5, '100 days')
    if (place % 5 === 0) await storeKeys(testDatabase, user, 7, '1 hour')
  }
  const trashed = await allTrashed(testDatabase)
  const counters = await Promise.all(users.map((user) => counterOf(testDatabase, user)))
  const swept = await run({ batchRows: 5, pageUsers: 4 })
  const [trash, deletions, keys] = [15 * 11, 6 * 5, 5 * 7]
  assert.deepEqual(swept, { ...nothing, trash, deletions, keys, end: 'finished' })
  assert.deepEqual(await leftOf(testDatabase), { tasks: 23 * 2, deletions: trash, keys: 0 })
  await assertFeedTellsOf(
    testDatabase,
    trashed.filter(({ user_id }) => users.indexOf(user_id) % 4 !== 0),
  )
  for (const [place, user] of users.entries()) {
    const { version } = await counterOf(testDatabase, user)
    // Eleven in batches of five take three numbers.
    assert.equal(version - (counters[place]?.version ?? 0), place % 3 === 1 ? 0 : 3)
  }
  assert.deepEqual(await run(), { ...nothing, end: 'finished' })
})

test('pages of users of whom nothing is due do not end a sweep', async (t) => {
  const { testDatabase, run } = await open(t)
  for (const user of newUsers(12)) await storeTrash({ testDatabase }, user, 1, '1 day')
  // The last of all, as ids are ordered by their bytes.
  await storeTrash({ testDatabase }, `\u{10ffff}${newUser()}`, 1, '31 days')
  assert.deepEqual(await run({ pageUsers: 3 }), { ...nothing, trash: 1, end: 'finished' })
})

test('pages of one user, and batches as large as what is due', async (t) => {
  const { testDatabase, run } = await open(t)
  for (const user of newUsers(3)) await storeTrash({ testDatabase }, user, 4, '31 days')
  assert.deepEqual(await run({ batchRows: 4, pageUsers: 1 }), { ...nothing, trash: 12, end: 'finished' })
})

test('while another instance removes a batch, a sweep removes nothing; afterwards all', async (t) => {
  const { testDatabase, run } = await open(t)
  const user = newUser()
  await storeTrash({ testDatabase }, user, 3, '31 days')
  await storeDeletions(testDatabase, user, 3, '91 days')
  await storeKeys(testDatabase, user, 3, '1 day')
  const release = await holdSweepLock(testDatabase)
  assert.deepEqual(await run(), { ...nothing, end: 'elsewhere' })
  const kinds = ['tasks', 'deletions', 'idempotency_keys']
  for (const kind of kinds) await testDatabase.query(`create table public.${kind} as table app.${kind}`)
  for (const kind of kinds) {
    // Each kind by itself, so that each is seen to ask for the lock.
    for (const other of kinds.filter((each) => each !== kind))
      await testDatabase.query(`delete from app.${other}`)
    assert.deepEqual(await run(), { ...nothing, end: 'elsewhere' }, `${kind} alone`)
    assert.equal((await testDatabase.query(`select from app.${kind}`)).length, 3)
    await testDatabase.query(`delete from app.${kind}`)
    for (const each of kinds) {
      await testDatabase.query(`insert into app.${each} select * from public.${each}`)
    }
  }
  assert.deepEqual(await leftOf(testDatabase), { tasks: 3, deletions: 3, keys: 3 })
  await release()
  assert.deepEqual(await run(), { ...nothing, trash: 3, deletions: 3, keys: 3, end: 'finished' })
})

test('instances that sweep at once remove each row once, and one of them comes to the end', async (t) => {
  const { testDatabase, run } = await open(t)
  for (let round = 0; round < 5; round++) {
    const users = newUsers(20)
    for (const user of users) await storeTrash({ testDatabase }, user, 25, '31 days')
    const trashed = (await allTrashed(testDatabase)).filter(({ user_id }) => users.includes(user_id))
    const before = await Promise.all(users.map((user) => counterOf(testDatabase, user)))
    const other = openDatabase({ connection: testDatabase.connection, poolMax: 2 })
    await other.prepare()
    const sweeps = await Promise.all([
      run({ batchRows: 5 }),
      run({ batchRows: 5, database: other }),
      run({ batchRows: 5 }),
    ])
    await other.close()
    assert.equal(
      sweeps.reduce((sum, each) => sum + each.trash, 0),
      20 * 25,
    )
    assert.ok(sweeps.some(({ end }) => end === 'finished'))
    assert.ok(sweeps.every(({ end, failures }) => ['finished', 'elsewhere'].includes(end) && failures === 0))
    await assertFeedTellsOf(testDatabase, trashed)
    for (const [place, user] of users.entries()) {
      const { version } = await counterOf(testDatabase, user)
      const took = version - (before[place]?.version ?? 0)
      assert.ok(took >= 5, `${took} numbers for five batches`)
      assert.equal((await leftOf(testDatabase, user)).tasks, 0)
    }
  }
})

test('a sweep that is stopped ends at once between two batches, and the next one does the rest', async (t) => {
  const { testDatabase, run } = await open(t)
  const user = newUser()
  await storeTrash({ testDatabase }, user, 12, '31 days')
  const trashed = await allTrashed(testDatabase)
  const stop = new AbortController()
  // After each statement it rests for an hour; the first one finds the user.
  const sweeping = run({ batchRows: 5, pauseMs: 3_600_000, signal: stop.signal })
  stop.abort()
  assert.deepEqual(await sweeping, { ...nothing, end: 'stopped' })
  const again = new AbortController()
  const resting = run({ batchRows: 5, pauseMs: 200, signal: again.signal })
  await eventually(async () => (await leftOf(testDatabase)).deletions > 0)
  again.abort()
  const { trash, end } = await resting
  assert.deepEqual([trash % 5, trash < 12, end], [0, true, 'stopped'])
  await assertFeedTellsOf(testDatabase, trashed)
  assert.equal((await leftOf(testDatabase)).tasks, 12 - trash)
  assert.deepEqual(await run(), { ...nothing, trash: 12 - trash, end: 'finished' })
  assert.deepEqual(await run({ signal: AbortSignal.abort() }), { ...nothing, end: 'stopped' })
})

test('a user of whom nothing can be removed holds up no other, and is tried again', async (t) => {
  const { testDatabase, run } = await open(t)
  const users = newUsers(9)
  for (const user of users) await storeTrash({ testDatabase }, user, 2, '31 days')
  await testDatabase.query(`create function public.fail() returns trigger language plpgsql as
    $$ begin if old.user_id = tg_argv[0] then raise 'refused'; end if; return old; end $$`)
  await testDatabase.query(
    `create trigger fail before delete on app.tasks for each row execute function public.fail('${users[6]}')`,
  )
  const swept = await run()
  assert.deepEqual(
    { ...swept, error: String(swept.error) },
    {
      ...nothing,
      trash: 16,
      failures: 1,
      error: 'error: refused',
      end: 'finished',
    },
  )
  assert.deepEqual(await leftOf(testDatabase, users[6]), { tasks: 2, deletions: 0, keys: 0 })
  await testDatabase.query('drop trigger fail on app.tasks')
  assert.deepEqual(await run(), { ...nothing, trash: 2, end: 'finished' })
})

test('after three failures in a row a sweep gives up, as it does without a database', async (t) => {
  const { testDatabase, database, run } = await open(t)
  for (const user of newUsers(9)) await storeTrash({ testDatabase }, user, 2, '31 days')
  await testDatabase.query('revoke insert on app.deletions from backend_core_app')
  const refused = await run()
  assert.deepEqual([refused.failures, refused.end, refused.trash], [3, 'failed', 0])
  assert.deepEqual(await leftOf(testDatabase), { tasks: 18, deletions: 0, keys: 0 }, 'nothing half done')
  const away = openDatabase({ connection: testDatabase.connection, poolMax: 1 })
  const unprepared = await run({ database: away })
  assert.deepEqual([unprepared.failures, unprepared.end], [0, 'failed'])
  assert.match(String(unprepared.error), /AppError/)
  await away.close()
  assert.ok(database)
})

test('sweeps go on, one after the other, until they are stopped, and sooner after one that failed', async (t) => {
  const { testDatabase, database } = await open(t)
  const away = openDatabase({ connection: testDatabase.connection, poolMax: 1 })
  const stop = new AbortController()
  const ends: string[] = []
  const running = runSweeps({
    // Not prepared at first: as when the service starts without its database.
    database: { ...database, observer: away.observer, scopeFor: (userId) => away.scopeFor(userId) },
    retention,
    signal: stop.signal,
    firstDelayMs: 1,
    retryMs: 1,
    intervalMs: 3_600_000,
    onSweep: ({ end, trash }) => ends.push(`${end} ${trash}`),
  })
  await eventually(async () => ends.length >= 2)
  await storeTrash({ testDatabase }, newUser(), 1, '31 days')
  await away.prepare()
  await eventually(async () => ends.at(-1) === 'finished 1')
  assert.ok(ends.slice(0, -1).every((each) => each === 'failed 0'))
  stop.abort()
  await running
  await away.close()
  const often: string[] = []
  const again = new AbortController()
  const onSweep = ({ end }: Sweep) => {
    often.push(end)
    if (often.length === 3) again.abort()
  }
  const options = { database, retention, firstDelayMs: 0, intervalMs: 1, pauseMs: 0, onSweep }
  await runSweeps({ ...options, signal: again.signal })
  assert.deepEqual(often, ['finished', 'finished', 'finished'])
})
