import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { counterOf, makeTrashedTask } from '../support/trash.ts'
import { malformedIds, oddUserIds } from './text-cases.ts'

const service = await startApp()
const { testDatabase } = service

test('a restored task is as it was, with a higher version and a later updated_at, and works like any other', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user, { title: 'Title', description: 'Text', completed: true })
  const kept = await makeTask(user)
  await user.delete(`/api/me/tasks/${task.id}`)
  const trashed = (await user.get('/api/me/trash')).body.data[0]
  const path = `/api/me/tasks/${task.id}`
  const restored = assertTask(await user.post(`${path}/restore`), 200)
  const { updated_at } = restored
  assert.deepEqual(restored, { ...task, version: 4, updated_at })
  assert.ok(updated_at > trashed.updated_at)
  assert.deepEqual(assertTask(await user.get(path), 200), restored)
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [kept, restored])
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [])
  assertTask(await user.patch(path, { title: 'x' }, { 'if-match': '"4"' }), 200, { version: 5 })
})

test('a task that is not in the trash stays as it is, and takes no change number', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user, { title: 'Live', completed: true })
  for (let time = 0; time < 2; time++) {
    assert.deepEqual(assertTask(await user.post(`/api/me/tasks/${task.id}/restore`), 200), task)
  }
  assert.deepEqual(await counterOf(testDatabase, user.userId), { version: 1, expired_before: 0 })
})

test('a task that never was, and one that was removed for good, are 404', async () => {
  const user = service.as(newUser())
  const gone = await makeTrashedTask(user)
  await user.delete(`/api/me/trash/${gone.id}`)
  for (const id of [randomUUID(), gone.id]) {
    assertError(await user.post(`/api/me/tasks/${id}/restore`), 404, 'TASK_NOT_FOUND')
  }
  assertError(
    await service.as(newUser()).post(`/api/me/tasks/${randomUUID()}/restore`),
    404,
    'TASK_NOT_FOUND',
  )
})

test("another user's restore of the same id leaves the task in the trash", async () => {
  const id = randomUUID()
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const trashed = await makeTrashedTask(user, { id })
  assertError(await other.post(`/api/me/tasks/${id}/restore`), 404, 'TASK_NOT_FOUND')
  await makeTrashedTask(other, { id })
  assertTask(await other.post(`/api/me/tasks/${id}/restore`), 200, { user_id: other.userId })
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [trashed])
})

test('a task can go to the trash and back again and again', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  for (let round = 0; round < 5; round++) {
    assertTask(await user.delete(`/api/me/tasks/${id}`), 200, { version: 1 + 2 * round })
    assertTask(await user.post(`/api/me/tasks/${id}/restore`), 200, { version: 3 + 2 * round })
  }
})

test('of restores that race one takes a number, and all answer with what it made', async () => {
  const user = service.as(newUser())
  const { id } = await makeTrashedTask(user)
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => user.post(`/api/me/tasks/${id}/restore`)),
  )
  for (const answer of answers)
    assert.deepEqual(assertTask(answer, 200, { version: 3 }), answers[0]?.body.data)
  assert.equal((await counterOf(testDatabase, user.userId)).version, 3)
})

test('no body and an empty one are the same', async () => {
  const user = service.as(newUser())
  const json = { 'content-type': 'application/json' }
  for (const options of [{}, { headers: json }, { raw: '', headers: json }]) {
    const { id } = await makeTrashedTask(user)
    assertTask(await user.request('POST', `/api/me/tasks/${id}/restore`, options), 200, { id })
  }
})

test('any body is refused, together with all else that is wrong, and the task stays in the trash', async () => {
  const user = service.as(newUser())
  const trashed = await makeTrashedTask(user)
  const path = `/api/me/tasks/${trashed.id}/restore`
  for (const json of [{}, { completed: true }, [], null, true, 0, 'x']) {
    assertError(await user.post(path, json), 422, 'VALIDATION_FAILED', [['', 'unexpected']])
  }
  assertError(await user.post('/api/me/tasks/x/restore?force=true', {}), 422, 'VALIDATION_FAILED', [
    ['params/task_id', 'format'],
    ['query/force', 'additionalProperties'],
    ['', 'unexpected'],
  ])
  const headers = { 'content-type': 'application/json' }
  assertError(await user.request('POST', path, { raw: '{', headers }), 400, 'INVALID_JSON', [['', 'json']])
  const text = { raw: 'x', headers: { 'content-type': 'text/plain' } }
  assertError(await user.request('POST', path, text), 415, 'UNSUPPORTED_MEDIA_TYPE')
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [trashed])
})

test('a malformed task id is 422, and another method 405', async () => {
  const user = service.as(newUser())
  for (const id of malformedIds) {
    const answer = await user.post(`/api/me/tasks/${encodeURIComponent(id)}/restore`)
    assertError(answer, 422, 'VALIDATION_FAILED', [['params/task_id', 'format']])
  }
  const answer = await user.get(`/api/me/tasks/${randomUUID()}/restore`)
  assertError(answer, 405, 'METHOD_NOT_ALLOWED')
  assert.equal(answer.headers.get('allow'), 'POST')
})

test('the id is taken in either case, and me and the encoded user id are the same', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    const { id } = await makeTrashedTask(user)
    const path = `/api/${encodeURIComponent(userId)}/tasks/${id.toUpperCase()}/restore`
    assertTask(await user.post(path), 200, { id, user_id: userId })
  }
})

test('an id in the trash cannot be used by a create, and after the restore it is the task again', async () => {
  const user = service.as(newUser())
  const { id, title } = await makeTrashedTask(user, { title: 'Title' })
  assertError(await user.post('/api/me/tasks', { id, title }), 409, 'TASK_EXISTS')
  await user.post(`/api/me/tasks/${id}/restore`)
  assertTask(await user.post('/api/me/tasks', { id, title }), 200, { id, version: 3 })
})

test('a repeated request with its key restores once: the task that was deleted since stays in the trash', async () => {
  const user = service.as(newUser())
  const { id } = await makeTrashedTask(user)
  const path = `/api/me/tasks/${id}/restore`
  const key = { 'idempotency-key': randomUUID() }
  const first = assertTask(await user.post(path, undefined, key), 200, { version: 3 })
  await user.delete(`/api/me/tasks/${id}`)
  const again = await user.post(path, undefined, key)
  assert.equal(again.headers.get('idempotency-replayed'), 'true')
  assert.deepEqual(assertTask(again, 200), first)
  assert.equal((await user.get('/api/me/trash')).body.data[0].version, 4)
})
