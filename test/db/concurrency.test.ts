import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import type { UserScope } from '../../src/db/database.ts'
import { createTasks } from '../../src/tasks/commands.ts'
import { eraseData } from '../../src/tasks/erase.ts'
import { changeTask, findTask, insertTask, removeTask } from '../../src/tasks/store.ts'
import type { NewTask, Task } from '../../src/tasks/task.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { collide } from '../support/collide.ts'
import { createTestDatabase } from '../support/database.ts'

// Two instances of the service on one database.

const testDatabase = await createTestDatabase()
const services = [
  await startApp({ testDatabase, poolMax: 12 }),
  await startApp({ testDatabase, poolMax: 12 }),
] as const
after(() => testDatabase.drop())

/** An instance, by turns. */
const instance = (turn: number) => services[turn % 2 === 0 ? 0 : 1]
const scopeOf = (user: string, turn: number): UserScope => instance(turn).database.scopeFor(user)
const clientOf = (user: string, turn: number): Client => instance(turn).as(user)
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make(at))
const newTask = (title = 'x'): NewTask => ({ id: randomUUID(), title, description: null, completed: false })

async function counterOf(user: string): Promise<number> {
  const rows = await testDatabase.query('select version::int from app.change_counters where user_id = $1', [
    user,
  ])
  return rows[0]?.version ?? 0
}

async function versionsOf(user: string): Promise<number[]> {
  const rows = await testDatabase.query<{ version: number }>(
    'select version::int from app.tasks where user_id = $1 order by id',
    [user],
  )
  return rows.map(({ version }) => version)
}

/** Counts answers by status. */
function statuses(answers: readonly { readonly status: number }[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** What a write did: how many numbers of the counter it took, and the task after it or the one it deleted. */
type Effect = { readonly took: number; readonly written?: Task; readonly deleted?: Task }

/** Does one of all the writes there are, chosen at random, to one of the tasks, or to a new one that joins them. */
async function writeSomething(scope: UserScope, ids: string[]): Promise<Effect> {
  const id = ids[Math.floor(Math.random() * ids.length)] ?? randomUUID()
  const kind = Math.random()
  if (kind < 0.3) {
    const { task: written } = await insertTask(scope, newTask())
    ids.push(written.id)
    return { took: 1, written }
  }
  if (kind < 0.35) {
    const batch = times(3, () => newTask())
    ids.push(...batch.map((task) => task.id))
    return { took: await createTasks(scope, batch) }
  }
  const version = kind < 0.6 ? (await findTask(scope, id))?.version : undefined
  const ifMatch = version === undefined ? null : [version]
  if (kind < 0.5) {
    const change = await removeTask(scope, id, ifMatch)
    return change?.outcome === 'changed' ? { took: 1, deleted: change.task } : { took: 0 }
  }
  const changes =
    kind < 0.8 ? { title: kind < 0.65 ? 'x' : String(kind) } : ({ completed: 'toggle' } as const)
  const change = await changeTask(scope, id, changes, ifMatch)
  return change?.outcome === 'changed' ? { took: 1, written: change.task } : { took: 0 }
}

test('24 writers of 3 users: versions unique and without gaps, each task as its last writer left it', async () => {
  const users = times(3, () => ({ user: newUser(), ids: [] as string[], effects: [] as Effect[] }))
  await Promise.all(
    times(24, async (writer) => {
      for (let round = 0; round < 125; round++) {
        for (const { user, ids, effects } of users.slice(writer % 3, (writer % 3) + 1)) {
          effects.push(await writeSomething(scopeOf(user, writer), ids))
        }
      }
    }),
  )
  for (const { user, effects } of users) {
    const took = effects.reduce((sum, effect) => sum + effect.took, 0)
    assert.equal(await counterOf(user), took, 'one number for each change, and no other')
    const written = effects.flatMap((effect) => effect.written ?? [])
    const versions = new Set(written.map(({ version }) => version))
    assert.equal(versions.size, written.length, 'no number was given twice')
    assert.ok(written.every(({ version }) => version <= took))
    const last = new Map(written.sort((a, b) => a.version - b.version).map((task) => [task.id, task]))
    const deleted = effects.flatMap((effect) => effect.deleted ?? [])
    const gone = new Set(deleted.map(({ id }) => id))
    assert.equal(gone.size, deleted.length, 'no task was deleted twice')
    for (const task of deleted)
      assert.deepEqual(last.get(task.id) ?? task, task, 'nothing was written after it')
    const rows = await testDatabase.query<{ id: string }>(
      `select id from app.tasks where user_id = $1 and deleted_at is null`,
      [user],
    )
    assert.ok(rows.every(({ id }) => !gone.has(id)))
    for (const { id } of rows) {
      const task = await findTask(scopeOf(user, 0), id)
      assert.deepEqual(task, last.get(id) ?? task)
    }
  }
})

test('of 20 racing updates with the same If-Match one wins, and the others get 412 with what it wrote', async () => {
  const user = newUser()
  const { id } = await makeTask(clientOf(user, 0))
  const update = (title: number) => () =>
    clientOf(user, title).patch(`/api/me/tasks/${id}`, { title: `${title}` }, { 'if-match': '"1"' })
  const answers = await collide(testDatabase, user, times(20, update))
  assert.deepEqual(statuses(answers), { 200: 1, 412: 19 })
  const winner = answers.find(({ status }) => status === 200)?.body.data
  assert.equal(winner.version, 2)
  for (const { status, headers, body } of answers) {
    assert.equal(headers.get('etag'), '"2"')
    if (status === 412) assert.deepEqual(body.error.details[0].current, winner)
  }
  assert.deepEqual((await clientOf(user, 0).get(`/api/me/tasks/${id}`)).body.data, winner)
  assert.equal(await counterOf(user), 2)
})

test('concurrent PATCHes of different fields of a task lose neither, 200 times', async () => {
  const user = newUser()
  const { id } = await makeTask(clientOf(user, 0))
  const path = `/api/me/tasks/${id}`
  for (let round = 1; round <= 200; round++) {
    const completed = round % 2 === 1
    const changes = [{ title: `title ${round}` }, { description: `text ${round}` }, { completed }]
    const answers = await Promise.all(changes.map((change, turn) => clientOf(user, turn).patch(path, change)))
    const newest = answers.map(({ body }) => body.data).sort((a: Task, b: Task) => b.version - a.version)[0]
    const { title, description, completed: stored, version } = newest
    assert.deepEqual(
      { title, description, completed: stored, version },
      { title: `title ${round}`, description: `text ${round}`, completed, version: 1 + 3 * round },
    )
    assert.deepEqual((await clientOf(user, 0).get(path)).body.data, newest)
  }
})

test('of 10 concurrent updates to the same values one changes the task, and the version once', async () => {
  const user = newUser()
  const { id } = await makeTask(clientOf(user, 0))
  const changes = { title: 'the same', completed: true }
  const change = (turn: number) => () => changeTask(scopeOf(user, turn), id, changes, null)
  const found = await collide(testDatabase, user, times(10, change))
  const outcomes = found.map((change) => change?.outcome).sort()
  assert.deepEqual(outcomes, ['changed', ...times(9, () => 'unchanged')])
  for (const change of found) assert.deepEqual(change?.task, found[0]?.task)
  assert.deepEqual([found[0]?.task.version, await counterOf(user)], [2, 2])
})

test('a deletion behind an update deletes what it wrote, and an update behind a deletion finds no task', async () => {
  for (let round = 0; round < 20; round++) {
    const user = newUser()
    const { id } = await makeTask(clientOf(user, 0))
    const path = `/api/me/tasks/${id}`
    const update = () => clientOf(user, 0).patch(path, { title: 'updated' })
    const remove = () => clientOf(user, 1).delete(path)
    const updateFirst = round % 2 === 0
    const answers = await collide(testDatabase, user, updateFirst ? [update, remove] : [remove, update])
    const told = answers.map(({ status, body }) => `${status} ${body.data?.title} ${body.data?.version}`)
    const [first, second] = updateFirst
      ? Array(2).fill('200 updated 2')
      : ['200 A task 1', '404 undefined undefined']
    assert.deepEqual(told, [first, second])
    assert.equal(await counterOf(user), updateFirst ? 3 : 2)
    assert.equal((await clientOf(user, 0).get(path)).status, 404)
  }
})

test('of 10 concurrent deletions of a task one deletes it', async () => {
  const user = newUser()
  const { id } = await makeTask(clientOf(user, 0))
  const remove = (turn: number) => () => clientOf(user, turn).delete(`/api/me/tasks/${id}`)
  const answers = await collide(testDatabase, user, times(10, remove))
  assert.deepEqual(statuses(answers), { 200: 1, 404: 9 })
  assert.equal(await counterOf(user), 2)
})

test('of 10 concurrent creates with the same id one makes the task, and the others find it', async () => {
  const user = newUser()
  await makeTask(clientOf(user, 0))
  const task = { id: randomUUID(), title: 'the same' }
  const create = (turn: number) => () => clientOf(user, turn).post('/api/me/tasks', task)
  const answers = await collide(testDatabase, user, times(10, create))
  assert.deepEqual(statuses(answers), { 200: 9, 201: 1 })
  for (const { body } of answers) assert.deepEqual(body.data, answers[0]?.body.data)
  assert.equal((await versionsOf(user)).length, 2)
  // A create that met another may have taken a number for nothing; none is given twice.
  assert.ok((await counterOf(user)) <= 11)
})

test('the first 10 tasks of a user, created at once, take the versions from 1 to 10', async () => {
  for (let round = 0; round < 20; round++) {
    const user = newUser()
    const tasks = await Promise.all(times(10, (turn) => insertTask(scopeOf(user, turn), newTask())))
    const versions = tasks.map(({ task }) => task.version).sort((a, b) => a - b)
    assert.deepEqual([versions, await counterOf(user)], [times(10, (at) => at + 1), 10])
  }
})

test('an even number of concurrent toggles leaves the task as it was, and each counts', async () => {
  const user = newUser()
  const { id } = await makeTask(clientOf(user, 0))
  const toggle = (turn: number) => () => clientOf(user, turn).patch(`/api/me/tasks/${id}/complete`)
  const answers = await collide(testDatabase, user, times(20, toggle))
  const tasks = answers.map(({ body }) => body.data).sort((a: Task, b: Task) => a.version - b.version)
  assert.deepEqual(
    tasks.map(({ version, completed }) => [version, completed]),
    times(20, (at) => [at + 2, at % 2 === 0]),
  )
  const task = await findTask(scopeOf(user, 0), id)
  assert.deepEqual([task?.completed, task?.completed_at, task?.version], [false, null, 21])
})

test('batches among single creates: each batch has its versions in one piece and in its order', async () => {
  const user = newUser()
  const { id } = await makeTask(clientOf(user, 0))
  const batches = times(6, (batch) => times(50, (place) => newTask(`${batch} ${place}`)))
  const works = times(18, (turn) => async () => {
    const scope = scopeOf(user, turn)
    if (turn % 3 === 0) await createTasks(scope, batches[turn / 3] ?? [])
    else if (turn % 3 === 1) await insertTask(scope, newTask('single'))
    else await changeTask(scope, id, { completed: 'toggle' }, null)
  })
  await collide(testDatabase, user, works)
  for (const tasks of batches) {
    const found = await Promise.all(tasks.map((task) => findTask(scopeOf(user, 0), task.id)))
    const versions = found.map((task) => task?.version ?? 0)
    assert.deepEqual(
      versions,
      times(50, (place) => (versions[0] ?? 0) + place),
    )
  }
  assert.equal(await counterOf(user), 1 + 6 * 50 + 6 + 6)
  assert.equal(new Set(await versionsOf(user)).size, 1 + 6 * 50 + 6)
})

test('an erasure among updates, creates and batches erases all that was written before it, and none deadlocks', async () => {
  for (let round = 0; round < 10; round++) {
    const user = newUser()
    const { id } = await makeTask(clientOf(user, 0))
    const update = () => changeTask(scopeOf(user, 0), id, { title: 'y' }, null).then(() => 0)
    const insert = () => insertTask(scopeOf(user, 0), newTask()).then(() => 1)
    const batch = () => createTasks(scopeOf(user, 1), [newTask(), newTask()])
    const erase = () => eraseData(scopeOf(user, 0))
    // The server does not always let them go on in the order in which they came.
    const works = round % 2 === 0 ? [update, insert, batch, erase] : [update, erase, batch, insert]
    const results = await collide(testDatabase, user, works)
    const erased = results[works.indexOf(erase)] ?? 0
    const left = await versionsOf(user)
    assert.equal(erased + left.length, 4)
    const [counter] = await testDatabase.query<{ expired: number }>(
      'select expired_before::int as expired from app.change_counters where user_id = $1',
      [user],
    )
    const { expired } = counter ?? { expired: 0 }
    assert.ok(expired > 0 && left.every((version) => version > expired), `${left} after ${expired}`)
  }
})
