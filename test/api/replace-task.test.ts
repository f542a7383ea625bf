import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { testFieldChanges } from './field-changes.ts'
import { testIfMatch } from './preconditions.ts'

const service = await startApp()

testFieldChanges(service, 'PUT')
testIfMatch(service, {
  change: (user, id, headers) => user.put(`/api/me/tasks/${id}`, { title: 'New' }, headers),
})

test('an empty object is refused: at least one field must be named', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user)
  assertError(await user.put(`/api/me/tasks/${task.id}`, {}), 422, 'VALIDATION_FAILED', [
    ['', 'minProperties'],
  ])
})

test('a merge patch is not understood: 415, and no change', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user)
  const path = `/api/me/tasks/${task.id}`
  const headers = { 'content-type': 'application/merge-patch+json' }
  assertError(await user.put(path, { title: 'New' }, headers), 415, 'UNSUPPORTED_MEDIA_TYPE')
  assert.deepEqual(assertTask(await user.get(path), 200), task)
})

test('PUT to an id that does not exist creates nothing', async () => {
  const user = service.as(newUser())
  const id = '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071'
  assertError(await user.put(`/api/me/tasks/${id}`, { title: 'New' }), 404, 'TASK_NOT_FOUND')
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [])
})
