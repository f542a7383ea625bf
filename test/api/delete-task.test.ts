import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { testIfMatch } from './preconditions.ts'
import { malformedIds, oddUserIds } from './text-cases.ts'

const service = await startApp()

testIfMatch(service, {
  change: (user, id, headers) => user.delete(`/api/me/tasks/${id}`, headers),
  answersBefore: true,
})

test('the answer is the task and its ETag as they were; afterwards every operation on it is 404', async () => {
  const user = service.as(newUser())
  const kept = await makeTask(user, { title: 'Kept' })
  const task = await makeTask(user, { title: 'Title', description: 'Text', completed: true })
  const path = `/api/me/tasks/${task.id}`
  assert.deepEqual(assertTask(await user.delete(path), 200), task)
  const answers = [
    await user.get(path),
    await user.put(path, { title: 'x' }),
    await user.patch(path, { title: 'x' }),
    await user.patch(path, {}),
    await user.patch(`${path}/complete`),
    await user.delete(path),
  ]
  for (const answer of answers) assertError(answer, 404, 'TASK_NOT_FOUND')
  assert.equal((await user.request('HEAD', path)).status, 404)
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [kept])
})

test('a delete takes a change number, and one that finds nothing takes none', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  assertTask(await user.delete(`/api/me/tasks/${id}`), 200, { version: 1 })
  assertError(await user.delete(`/api/me/tasks/${id}`), 404, 'TASK_NOT_FOUND')
  assert.equal((await makeTask(user)).version, 3)
})

test('of deletes that race one finds the task, and the others are told 404', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const answers = await Promise.all(Array.from({ length: 10 }, () => user.delete(`/api/me/tasks/${id}`)))
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(404)])
  assert.equal((await makeTask(user)).version, 3)
})

test("another user's delete of the same id leaves the task alone", async () => {
  const id = randomUUID()
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const task = await makeTask(user, { id })
  await makeTask(other, { id })
  assertTask(await other.delete(`/api/me/tasks/${id}`), 200, { user_id: other.userId })
  assertError(await other.delete(`/api/me/tasks/${id}`), 404, 'TASK_NOT_FOUND')
  assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${id}`), 200), task)
})

test('problems of path, query and headers are reported in one answer', async () => {
  const answer = await service.as(newUser()).delete('/api/me/tasks/x?force=true', { 'if-match': '7' })
  assertError(answer, 422, 'VALIDATION_FAILED', [
    ['params/task_id', 'format'],
    ['query/force', 'additionalProperties'],
    ['headers/if-match', 'format'],
  ])
})

test('a malformed task id is 422', async () => {
  const user = service.as(newUser())
  for (const id of malformedIds) {
    const answer = await user.delete(`/api/me/tasks/${encodeURIComponent(id)}`)
    assertError(answer, 422, 'VALIDATION_FAILED', [['params/task_id', 'format']])
  }
})

test('the id is taken in either case, and me and the encoded user id are the same', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    const task = await makeTask(user)
    const path = `/api/${encodeURIComponent(userId)}/tasks/${task.id.toUpperCase()}`
    assert.deepEqual(assertTask(await user.delete(path), 200), task)
  }
})
