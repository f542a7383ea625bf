import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { sendRequest } from '../support/raw-http.ts'

// Bodies in chunks, without a Content-Type: whether there is one shows only at their end.

const service = await startApp()
const empty = '0\r\n\r\n'

const send = (user: Client, line: string, body: string, ...lines: string[]) =>
  sendRequest(
    service.url,
    [`${line} HTTP/1.1`, `Authorization: Bearer ${user.token}`, 'Transfer-Encoding: chunked', ...lines],
    body,
  )

test('an empty body in chunks without a type counts as none: complete toggles, a create lacks its body', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  assertTask(await send(user, `PATCH /api/me/tasks/${id}/complete`, empty), 200, { completed: true })
  assertTask(await send(user, `PATCH /api/me/tasks/${id}/complete`, empty), 200, { completed: false })
  assertError(await send(user, 'POST /api/me/tasks', empty), 422, 'VALIDATION_FAILED', [['', 'type']])
  assertError(await send(user, `PATCH /api/me/tasks/${id}`, empty), 422, 'VALIDATION_FAILED', [['', 'type']])
  assertTask(await send(user, `DELETE /api/me/tasks/${id}`, empty), 200)
  assertTask(await send(user, `POST /api/me/tasks/${id}/restore`, empty), 200)
})

test('with a byte in it, or with another type, it is 415, and nothing is done', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const path = `PATCH /api/me/tasks/${id}/complete`
  assertError(await send(user, path, `1\r\n \r\n${empty}`), 415, 'UNSUPPORTED_MEDIA_TYPE')
  assertError(await send(user, path, empty, 'Content-Type: text/plain'), 415, 'UNSUPPORTED_MEDIA_TYPE')
  assertTask(await user.get(`/api/me/tasks/${id}`), 200, { completed: false, version: 1 })
  assertError(await send(user, 'POST /api/me/import', empty), 415, 'UNSUPPORTED_MEDIA_TYPE')
})

test('a body that ends too soon is no empty one', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const answer = await send(user, `PATCH /api/me/tasks/${id}/complete`, 'zz\r\n')
  assertError(answer, 400, 'BAD_REQUEST')
  assert.equal((await user.get(`/api/me/tasks/${id}`)).body.data.completed, false)
})
