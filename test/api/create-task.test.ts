import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUser, startApp } from '../support/app.ts'

const service = await startApp()

test('a title alone makes a task with the defaults, 201, Location and ETag', async () => {
  const user = service.as(newUser())
  const answer = await user.post('/api/me/tasks', { title: '  Buy milk\t' })
  assert.equal(answer.status, 201)
  const { data, meta, status } = answer.body
  assert.equal(status, 'success')
  assert.deepEqual(
    { ...data, id: undefined, created_at: undefined, updated_at: undefined },
    {
      id: undefined,
      user_id: user.userId,
      title: 'Buy milk',
      description: null,
      completed: false,
      completed_at: null,
      created_at: undefined,
      updated_at: undefined,
      version: 1,
    },
  )
  assert.match(data.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.match(data.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.equal(data.updated_at, data.created_at)
  assert.equal(answer.headers.get('etag'), '"1"')
  assert.equal(answer.headers.get('location'), `/api/${user.userId}/tasks/${data.id}`)
  assert.equal(answer.headers.get('x-request-id'), meta.request_id)
})
