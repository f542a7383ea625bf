import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import pg from 'pg'
import { assertError, assertPage, assertTask } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { eventually } from '../support/process.ts'
import { assertReplay, isReplay, newKey } from './kept-answers.ts'

// Retries that meet the request that they repeat, through two instances on one database.

const testDatabase = await createTestDatabase()
const services = [
  await startApp({ testDatabase, poolMax: 10 }),
  await startApp({ testDatabase, poolMax: 10 }),
] as const
after(async () => {
  for (const service of services) await service.stop()
  await testDatabase.drop()
})

function asEach(userId: string): readonly [Client, Client] {
  return [services[0].as(userId), services[1].as(userId)]
}

for (const [name, status, send] of [
  [
    'creates',
    201,
    (user: Client, key: Record<string, string>) => user.post('/api/me/tasks', { title: 'x' }, key),
  ],
  [
    'toggles',
    200,
    (user: Client, key: Record<string, string>, id: string) =>
      user.patch(`/api/me/tasks/${id}/complete`, undefined, key),
  ],
  [
    'refused updates',
    412,
    (user: Client, key: Record<string, string>, id: string) =>
      user.patch(`/api/me/tasks/${id}`, { title: 'y' }, { ...key, 'if-match': '"9"' }),
  ],
] as const) {
  test(`of 20 ${name} with one key at once, through two instances, one is done`, async () => {
    for (let round = 0; round < 5; round++) {
      const users = asEach(newUser())
      const { id } = await makeTask(users[0])
      const key = newKey()
      const retry = (n: number) => send(users[n % 2 === 0 ? 0 : 1], key, id)
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => retry(n)))
      const running = answers.filter(({ body }) => body.error?.code === 'IDEMPOTENCY_IN_PROGRESS')
      for (const answer of running) {
        assertError(answer, 409, 'IDEMPOTENCY_IN_PROGRESS')
        assert.equal(answer.headers.get('retry-after'), '1')
        assert.ok(!isReplay(answer))
      }
      const [first, ...others] = answers.filter((each) => !running.includes(each) && !isReplay(each))
      assert.ok(first !== undefined)
      assert.deepEqual([first.status, others.length], [status, 0])
      for (const answer of answers.filter(isReplay)) assertReplay(answer, first)
      for (let n = 0; n < 2; n++) assertReplay(await retry(n), first)
      const rows = await testDatabase.query<{ version: string }>(
        'select version from app.change_counters where user_id = $1',
        [users[0].userId],
      )
      assert.deepEqual(rows, [{ version: status === 412 ? '1' : '2' }])
    }
  })
}

async function connect(t: TestContext): Promise<pg.Client> {
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  t.after(() => client.end())
  return client
}

/** Keeps all writers of a user waiting until the returned function is called. */
async function holdWriters(t: TestContext, userId: string): Promise<() => Promise<unknown>> {
  const client = await connect(t)
  await client.query('begin')
  await client.query('select from app.change_counters where user_id = $1 for update', [userId])
  return () => client.query('rollback')
}

/** Waits until so many of the services' statements wait for a lock. */
function waiting(count: number): Promise<boolean> {
  return eventually(async () => {
    const rows = await testDatabase.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rows.length === count
  })
}

test('while a request runs, any other with its key is told to wait, on either instance, and holds up nobody', async (t) => {
  const [one, two] = asEach(newUser())
  const { id } = await makeTask(one)
  const key = newKey()
  const release = await holdWriters(t, one.userId)
  const create = (user: Client) => user.post('/api/me/tasks', { title: 'x' }, key)
  const first = create(one)
  await waiting(1)
  for (const user of [one, two]) {
    for (const answer of [
      await create(user),
      await user.post('/api/me/tasks', { title: 'another request' }, key),
      await user.patch(`/api/me/tasks/${id}`, { title: 'y' }, key),
      // As one that is not valid would be the first, if the other failed.
      await user.post('/api/me/tasks', {}, key),
    ]) {
      assertError(answer, 409, 'IDEMPOTENCY_IN_PROGRESS')
      assert.equal(answer.headers.get('retry-after'), '1')
    }
  }
  // Another key of the user, and the same key of another user.
  assertError(await two.patch(`/api/me/tasks/x`, {}, newKey()), 422, 'VALIDATION_FAILED', [
    ['params/task_id', 'format'],
  ])
  assertTask(await services[1].as(newUser()).post('/api/me/tasks', { title: 'x' }, key), 201)
  await release()
  const done: Answer = await first
  assertTask(done, 201)
  assertReplay(await create(two), done)
  assertError(
    await two.post('/api/me/tasks', { title: 'another request' }, key),
    422,
    'IDEMPOTENCY_KEY_REUSED',
  )
  assert.equal(assertPage(await one.get('/api/me/tasks')).tasks.length, 2)
})

test('requests of a user with keys of their own are all done, at once', async () => {
  const users = asEach(newUser())
  const creates = Array.from({ length: 20 }, (_, n) => {
    const user = users[n % 2 === 0 ? 0 : 1]
    return user.post('/api/me/tasks', { title: `${n}` }, newKey())
  })
  const versions = (await Promise.all(creates)).map((answer) => assertTask(answer, 201).version)
  assert.deepEqual(
    versions.sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, n) => n + 1),
  )
})

test('a request that began before the other ended, and looked before that was committed, is not done', async (t) => {
  const { query } = testDatabase
  const user = services[0].as(newUser())
  const key = newKey()
  const create = () => user.post('/api/me/tasks', { title: 'x' }, key)
  const first = await create()
  const hash = `hashtextextended('${key['idempotency-key']}', hashtextextended('${user.userId}', 0))`
  // The row that is there makes the look-up stop, before it reads the time, for as long as the test holds lock 1.
  await query('update app.idempotency_keys set expires_at = now() where user_id = $1', [user.userId])
  await query(`create function public.stop_here() returns boolean language plpgsql cost 0.001 as
    $$ begin perform pg_advisory_lock(1); perform pg_advisory_unlock(1); return true; end $$`)
  await query(
    'create policy stop_here on app.idempotency_keys as restrictive for select using (public.stop_here())',
  )
  t.after(() => query('drop function public.stop_here cascade'))
  const other = await connect(t)
  await other.query('select pg_advisory_lock(1)')
  await other.query('begin')
  await other.query(`select pg_advisory_xact_lock(${hash})`)
  const meeting = create()
  await waiting(1)
  await other.query(
    `update app.idempotency_keys set expires_at = now() + interval '1 h' where user_id = $1`,
    [user.userId],
  )
  await other.query('commit')
  await other.query('select pg_advisory_unlock(1)')
  assertError(await meeting, 409, 'IDEMPOTENCY_IN_PROGRESS')
  assertReplay(await create(), first)
})
