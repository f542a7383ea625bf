import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask, assertTrashedTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { counterOf, deletionsOf, makeTrashedTask } from '../support/trash.ts'
import { testIfMatch } from './preconditions.ts'
import { malformedIds, oddUserIds } from './text-cases.ts'

const service = await startApp()
const { testDatabase } = service

testIfMatch(service, {
  change: (user, id, headers) => user.delete(`/api/me/trash/${id}`, headers),
  answersBefore: true,
  inTrash: true,
})

test('the answer is the task as it was in the trash; afterwards it is nowhere, and the feed can still tell', async () => {
  const user = service.as(newUser())
  const kept = await makeTrashedTask(user, { title: 'Kept' })
  const task = await makeTrashedTask(user, { title: 'Title', description: 'Text', completed: true })
  assert.deepEqual(assertTrashedTask(await user.delete(`/api/me/trash/${task.id}`), 200), task)
  const path = `/api/me/tasks/${task.id}`
  const answers = [
    await user.delete(`/api/me/trash/${task.id}`),
    await user.post(`${path}/restore`),
    await user.get(path),
    await user.patch(path, { title: 'x' }),
    await user.delete(path),
  ]
  for (const answer of answers) assertError(answer, 404, 'TASK_NOT_FOUND')
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [kept])
  assert.deepEqual(await deletionsOf(testDatabase, user.userId), [{ id: task.id, version: task.version }])
})

test('a removal takes one change number, so that no list looks unchanged; one that finds nothing takes none', async () => {
  const user = service.as(newUser())
  const { id } = await makeTrashedTask(user)
  const before = (await user.get('/api/me/trash')).headers.get('etag')
  assertTrashedTask(await user.delete(`/api/me/trash/${id}`), 200, { version: 2 })
  assert.notEqual((await user.get('/api/me/trash')).headers.get('etag'), before)
  assertError(await user.delete(`/api/me/trash/${id}`), 404, 'TASK_NOT_FOUND')
  assert.deepEqual(await counterOf(testDatabase, user.userId), { version: 3, expired_before: 0 })
})

test('a live task and one that never was are 404, and the live one stays', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user)
  for (const [id, headers] of [
    [task.id, {}],
    [task.id, { 'if-match': '"1"' }],
    [task.id, { 'if-match': '"9"' }],
    [randomUUID(), {}],
  ] as const) {
    assertError(await user.delete(`/api/me/trash/${id}`, headers), 404, 'TASK_NOT_FOUND')
  }
  assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${task.id}`), 200), task)
  assert.deepEqual(await counterOf(testDatabase, user.userId), { version: 1, expired_before: 0 })
})

test('an id that was removed for good may be used again, and the feed then knows the new task alone', async () => {
  const user = service.as(newUser())
  const { id } = await makeTrashedTask(user)
  for (const version of [4, 7]) {
    assertTrashedTask(await user.delete(`/api/me/trash/${id}`), 200)
    assert.equal((await deletionsOf(testDatabase, user.userId)).length, 1)
    assertTask(await user.post('/api/me/tasks', { id, title: 'Again' }), 201, { id, version })
    assert.deepEqual(await deletionsOf(testDatabase, user.userId), [])
    await user.delete(`/api/me/tasks/${id}`)
  }
})

test('a deletion that a create left behind is replaced by the new one', async () => {
  const user = service.as(newUser())
  const { id } = await makeTrashedTask(user)
  // As when the create's statement began before the removal that it waited for.
  await testDatabase.query('insert into app.deletions values ($1, $2, 1, now())', [user.userId, id])
  assertTrashedTask(await user.delete(`/api/me/trash/${id}`), 200)
  assert.deepEqual(await deletionsOf(testDatabase, user.userId), [{ id, version: 2 }])
})

test('of removals that race one finds the task, and the others are told 404', async () => {
  const user = service.as(newUser())
  const { id } = await makeTrashedTask(user)
  const answers = await Promise.all(Array.from({ length: 10 }, () => user.delete(`/api/me/trash/${id}`)))
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(404)])
  assert.equal((await counterOf(testDatabase, user.userId)).version, 3)
})

test("another user's removal of the same id leaves the task alone", async () => {
  const id = randomUUID()
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const task = await makeTrashedTask(user, { id })
  assertError(await other.delete(`/api/me/trash/${id}`), 404, 'TASK_NOT_FOUND')
  await makeTrashedTask(other, { id })
  assertTrashedTask(await other.delete(`/api/me/trash/${id}`), 200, { user_id: other.userId })
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [task])
  assert.deepEqual(await deletionsOf(testDatabase, user.userId), [])
})

test('problems of path, query and headers are reported in one answer', async () => {
  const answer = await service.as(newUser()).delete('/api/me/trash/x?force=true', { 'if-match': '7' })
  assertError(answer, 422, 'VALIDATION_FAILED', [
    ['params/task_id', 'format'],
    ['query/force', 'additionalProperties'],
    ['headers/if-match', 'format'],
  ])
})

test('a malformed task id is 422, and another method 405', async () => {
  const user = service.as(newUser())
  for (const id of malformedIds) {
    const answer = await user.delete(`/api/me/trash/${encodeURIComponent(id)}`)
    assertError(answer, 422, 'VALIDATION_FAILED', [['params/task_id', 'format']])
  }
  const answer = await user.get(`/api/me/trash/${randomUUID()}`)
  assertError(answer, 405, 'METHOD_NOT_ALLOWED')
  assert.equal(answer.headers.get('allow'), 'DELETE')
})

test('the id is taken in either case, and me and the encoded user id are the same', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    const task = await makeTrashedTask(user)
    const path = `/api/${encodeURIComponent(userId)}/trash/${task.id.toUpperCase()}`
    assert.deepEqual(assertTrashedTask(await user.delete(path), 200), task)
  }
})
