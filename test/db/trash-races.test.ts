import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sweep } from '../../src/tasks/sweep.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { collide } from '../support/collide.ts'
import { createTestDatabase } from '../support/database.ts'
import { counterOf, deletionsOf, makeTrashedTask } from '../support/trash.ts'

// Writers that meet at one task on its way to the trash, back, or out of the world; through two instances.

const testDatabase = await createTestDatabase()
const services = [await startApp({ testDatabase }), await startApp({ testDatabase })] as const
after(() => testDatabase.drop())

type Told = { readonly status: number; readonly removed?: number }

const told = ({ status, body }: { status: number; body: { data?: { removed?: number } } }): Told => ({
  status,
  ...(body.data?.removed !== undefined && { removed: body.data.removed }),
})

const restore = (user: Client, id: string) => () => user.post(`/api/me/tasks/${id}/restore`).then(told)
const purge =
  (user: Client, id: string, headers: Record<string, string> = {}) =>
  () =>
    user.delete(`/api/me/trash/${id}`, headers).then(told)
const discard = (user: Client, id: string) => () => user.delete(`/api/me/tasks/${id}`).then(told)
const empty = (user: Client) => () => user.delete('/api/me/trash').then(told)
/** A sweep of all users; tests of this file run one after the other. */
const sweepAll = async (): Promise<Told> => {
  const options = { retention: { trashDays: 30, deletionsDays: 90 }, signal: new AbortController().signal }
  const { trash, end, error } = await sweep({ database: services[1].database, ...options })
  assert.deepEqual([end, error], ['finished', undefined])
  return { status: 200, removed: trash }
}

/** A user on each instance, with a task in the trash that is due. */
async function makeDue() {
  const userId = newUser()
  const [user, other] = [services[0].as(userId), services[1].as(userId)]
  const task = await makeTrashedTask(user)
  await testDatabase.query(
    `update app.tasks set deleted_at = now() - interval '31 days' where user_id = $1`,
    [userId],
  )
  return { user, other, id: task.id }
}

/** Where a task is, and the counter. */
async function stateOf({ userId }: Client, id: string): Promise<string> {
  const rows = await testDatabase.query<{ deleted: boolean }>(
    'select deleted_at is not null as deleted from app.tasks where user_id = $1 and id = $2',
    [userId, id],
  )
  const deletions = await deletionsOf(testDatabase, userId)
  const places = [
    ...rows.map(({ deleted }) => (deleted ? 'trash' : 'list')),
    ...deletions.map(({ version }) => `gone at ${version}`),
  ]
  return `${places.join(' and ')}, counter ${(await counterOf(testDatabase, userId)).version}`
}

const ok = { status: 200 }
const notFound = { status: 404 }

test('a restore that a sweep waits for saves the task; a sweep that a restore waits for does not', async () => {
  const saved = await makeDue()
  assert.deepEqual(
    await collide(testDatabase, saved.user.userId, [restore(saved.user, saved.id), sweepAll]),
    [ok, { status: 200, removed: 0 }],
  )
  assert.equal(await stateOf(saved.user, saved.id), 'list, counter 3')
  const lost = await makeDue()
  assert.deepEqual(await collide(testDatabase, lost.user.userId, [sweepAll, restore(lost.user, lost.id)]), [
    { status: 200, removed: 1 },
    notFound,
  ])
  assert.equal(await stateOf(lost.user, lost.id), 'gone at 2, counter 3')
})

test('a task that is restored and deleted again while a sweep waits has its whole time in the trash again', async () => {
  const { user, id } = await makeDue()
  const again = async () => {
    const restored = await restore(user, id)()
    await discard(user, id)()
    return restored
  }
  // The second of the two may come before the sweep or after it; either way the task is not due.
  const [first, swept] = await collide(testDatabase, user.userId, [again, sweepAll])
  assert.deepEqual([first, swept], [ok, { status: 200, removed: 0 }])
  assert.equal(await stateOf(user, id), 'trash, counter 4')
})

test('of a restore and a removal for good the first wins, and the other finds no task', async () => {
  const first = await makeDue()
  assert.deepEqual(
    await collide(testDatabase, first.user.userId, [
      restore(first.user, first.id),
      purge(first.other, first.id),
    ]),
    [ok, notFound],
  )
  assert.equal(await stateOf(first.user, first.id), 'list, counter 3')
  const second = await makeDue()
  assert.deepEqual(
    await collide(testDatabase, second.user.userId, [
      purge(second.other, second.id),
      restore(second.user, second.id),
    ]),
    [ok, notFound],
  )
  assert.equal(await stateOf(second.user, second.id), 'gone at 2, counter 3')
})

test('a removal with If-Match compares with what the writer before it left in the trash', async () => {
  const { user, other, id } = await makeDue()
  const again = async () => {
    await restore(user, id)()
    return discard(user, id)()
  }
  await again()
  // Now at version 4. The one behind finds the task gone; another version would have been 412.
  const ifMatch = { 'if-match': '"4"' }
  const stale = { 'if-match': '"2"' }
  const answers = await collide(testDatabase, user.userId, [
    purge(other, id, stale),
    purge(user, id, ifMatch),
    purge(other, id, ifMatch),
  ])
  assert.deepEqual(answers, [{ status: 412 }, ok, notFound])
  assert.equal(await stateOf(user, id), 'gone at 4, counter 5')
})

test('a removal behind a restore with If-Match of the trashed version removes nothing', async () => {
  const { user, other, id } = await makeDue()
  const answers = await collide(testDatabase, user.userId, [
    restore(user, id),
    purge(other, id, { 'if-match': '"2"' }),
  ])
  assert.deepEqual(answers, [ok, notFound])
  assert.equal(await stateOf(user, id), 'list, counter 3')
})

test('emptying the trash behind a deletion removes that task too; behind a restore it spares it', async () => {
  const { user, other, id } = await makeDue()
  const live = await makeTask(user)
  assert.deepEqual(await collide(testDatabase, user.userId, [discard(user, live.id), empty(other)]), [
    ok,
    { status: 200, removed: 2 },
  ])
  assert.equal(await stateOf(user, id), 'gone at 2 and gone at 4, counter 5')
  const spared = await makeDue()
  assert.deepEqual(
    await collide(testDatabase, spared.user.userId, [restore(spared.user, spared.id), empty(spared.other)]),
    [ok, { status: 200, removed: 0 }],
  )
  assert.equal(await stateOf(spared.user, spared.id), 'list, counter 3')
})

test('a sweep and an emptying of the trash remove a task once', async () => {
  for (const order of [0, 1]) {
    const { user, id } = await makeDue()
    const pieces = [sweepAll, empty(user)]
    const answers = await collide(testDatabase, user.userId, order === 0 ? pieces : pieces.toReversed())
    assert.deepEqual(
      answers.map(({ removed }) => removed),
      [1, 0],
    )
    assert.equal(await stateOf(user, id), 'gone at 2, counter 3')
  }
})

test('of 12 restores, removals and deletions at once, whatever their order, each number is taken once', async () => {
  for (let round = 0; round < 20; round++) {
    const { user, other, id } = await makeDue()
    const turns = [restore(user, id), discard(other, id), purge(user, id), discard(user, id)]
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => (turns[(n * 7 + round) % turns.length] ?? empty(user))()),
    )
    assert.ok(answers.every(({ status }) => status === 200 || status === 404))
    const { version } = await counterOf(testDatabase, user.userId)
    const state = await stateOf(user, id)
    assert.match(state, /^(list|trash|gone at \d+), counter \d+$/)
    const [row] = await testDatabase.query<{ version: number }>(
      `select version::int from app.tasks where user_id = $1 union all
      select version::int from app.deletions where user_id = $1`,
      [user.userId],
    )
    assert.ok(row !== undefined && row.version <= version)
  }
})
