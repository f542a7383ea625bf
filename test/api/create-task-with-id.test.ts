import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Task } from '../../src/tasks/task.ts'
import { assertError, assertTask } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'

const service = await startApp()

test('an id sent in upper case is kept in lower case', async () => {
  const user = service.as(newUser())
  const id = randomUUID()
  const answer = await user.post('/api/me/tasks', { title: 'x', id: id.toUpperCase() })
  assertTask(answer, 201, { id })
  assert.equal(answer.headers.get('location'), `/api/${user.userId}/tasks/${id}`)
  assert.equal((await user.get('/api/me/tasks')).body.data[0].id, id)
})

test('a UUID of any version is taken', async () => {
  const user = service.as(newUser())
  const ids = [
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    'c232ab00-9414-11ec-b3c8-9f6bdeced846',
    '5df41881-3aed-3515-88a7-2f4a814cf09e',
    '2489e9ad-2ee2-8e00-0ec9-32d5f69181c0',
  ]
  for (const id of ids) assertTask(await user.post('/api/me/tasks', { title: 'x', id }), 201, { id })
})

async function assertNotWritten(user: Client, task: Task, nextVersion: number): Promise<void> {
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [task])
  assert.equal((await makeTask(user)).version, nextVersion)
}

test('a repetition is answered 200 with the stored task, and writes nothing', async () => {
  const user = service.as(newUser())
  const body = { id: randomUUID(), title: 'Title', description: 'Text', completed: true }
  const task = assertTask(await user.post('/api/me/tasks', body), 201)
  const again = await user.post('/api/me/tasks', { ...body, id: body.id.toUpperCase() })
  assert.deepEqual(assertTask(again, 200), task)
  assert.equal(again.headers.get('location'), `/api/${user.userId}/tasks/${task.id}`)
  await assertNotWritten(user, task, 2)
})

test('the same content is what is stored: after trimming, with the defaults filled in', async () => {
  const user = service.as(newUser())
  const id = randomUUID()
  const task = assertTask(await user.post('/api/me/tasks', { id, title: 'Title' }), 201)
  const same = [
    { title: '\u00a0Title\ufeff ' },
    { title: 'Title', description: null },
    { title: 'Title', completed: false },
    { title: 'Title', description: null, completed: false },
  ]
  for (const body of same)
    assert.deepEqual(assertTask(await user.post('/api/me/tasks', { id, ...body }), 200), task)
  await assertNotWritten(user, task, 2)
})

test('other content is 409 and leaves the stored task alone', async () => {
  const user = service.as(newUser())
  const body = { id: randomUUID(), title: 'Title', description: 'Text', completed: true }
  const task = assertTask(await user.post('/api/me/tasks', body), 201)
  const others = [
    { title: 'title' },
    { title: 'Title\u0301' },
    { description: 'Text ' },
    { description: null },
    { description: '' },
    { completed: false },
  ]
  for (const other of others) {
    assertError(await user.post('/api/me/tasks', { ...body, ...other }), 409, 'TASK_EXISTS')
  }
  await assertNotWritten(user, task, 2)
})

test('it is the present content that is compared, not the one of the creation', async () => {
  const user = service.as(newUser())
  const id = randomUUID()
  await makeTask(user, { id, title: 'Before' })
  const task = assertTask(await user.patch(`/api/me/tasks/${id}`, { title: 'After', completed: true }), 200)
  assertError(await user.post('/api/me/tasks', { id, title: 'Before' }), 409, 'TASK_EXISTS')
  assert.deepEqual(
    assertTask(await user.post('/api/me/tasks', { id, title: 'After', completed: true }), 200),
    task,
  )
  await assertNotWritten(user, task, 3)
})

test("another user's same id is independent and shows nothing", async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const id = randomUUID()
  const task = await makeTask(user, { id, title: 'Mine', description: 'Text' })
  const theirs = assertTask(await other.post('/api/me/tasks', { id, title: 'Theirs' }), 201, {
    id,
    user_id: other.userId,
    description: null,
    version: 1,
  })
  assertTask(await other.patch(`/api/me/tasks/${id}`, { completed: true }), 200, { version: 2 })
  assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${id}`), 200), task)
  assert.equal(theirs.title, 'Theirs')
})

test('of 20 equal creations that race one writes, and all answer with the same task', async () => {
  const user = service.as(newUser())
  const body = { id: randomUUID(), title: 'Title' }
  const answers = await Promise.all(Array.from({ length: 20 }, () => user.post('/api/me/tasks', body)))
  assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(19).fill(200), 201])
  const [task, ...others] = answers.map((answer) => assertTask(answer, answer.status))
  for (const other of others) assert.deepEqual(other, task)
  if (task !== undefined) await assertNotWritten(user, task, 2)
})

test('of 20 different creations that race with one id one writes, and the others are 409', async () => {
  const user = service.as(newUser())
  const id = randomUUID()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => user.post('/api/me/tasks', { id, title: `Title ${n}` })),
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(19).fill(409)])
})

test('an id that is taken is no conflict while the body has problems', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  assertError(await user.post('/api/me/tasks', { id, title: '' }), 422, 'VALIDATION_FAILED', [
    ['/title', 'minLength'],
  ])
})
