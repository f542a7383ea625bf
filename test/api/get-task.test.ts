import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { type Answer, makeTask, newUser, startApp } from '../support/app.ts'
import { malformedIds, oddUserIds } from './text-cases.ts'

const service = await startApp()

test('a task is answered as it was created, with its ETag', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user, { title: 'Title', description: 'Text', completed: true })
  assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${task.id}`), 200), task)
})

test('the ETag follows every change', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  await makeTask(user)
  const changed = assertTask(await user.patch(`/api/me/tasks/${id}`, { title: 'New' }), 200, { version: 3 })
  assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${id}`), 200), changed)
})

test('the id is taken in either case, and me and the encoded user id are the same', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    const task = await makeTask(user)
    for (const name of ['me', '%6D%65', encodeURIComponent(userId), escapeAll(userId)]) {
      for (const id of [task.id, task.id.toUpperCase(), escapeAll(task.id)]) {
        assert.deepEqual(assertTask(await user.get(`/api/${name}/tasks/${id}`), 200), task)
      }
    }
  }
})

test('times with fractions of any length are written with three digits, in UTC', async () => {
  const user = service.as(newUser())
  const times = ['2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.600Z', '2026-01-02T03:04:05.000Z']
  times.push('1970-01-01T00:00:00.010Z', '0099-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z')
  for (const time of times) {
    const { id } = await makeTask(user)
    await service.testDatabase.query(
      'update app.tasks set created_at = $1, updated_at = $1 where user_id = $2 and id = $3',
      [time, user.userId, id],
    )
    assertTask(await user.get(`/api/me/tasks/${id}`), 200, { created_at: time, updated_at: time })
  }
})

test('a task that does not exist and one of another user are the same 404', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(service.as(newUser()))
  assertError(await user.get(`/api/me/tasks/${randomUUID()}`), 404, 'TASK_NOT_FOUND')
  assertError(await user.get(`/api/me/tasks/${id}`), 404, 'TASK_NOT_FOUND')
})

test('a malformed task id is 422', async () => {
  const user = service.as(newUser())
  for (const id of malformedIds) {
    const answer = await user.get(`/api/me/tasks/${encodeURIComponent(id)}`)
    assertError(answer, 422, 'VALIDATION_FAILED', [['params/task_id', 'format']])
  }
})

test('problems of path, query and headers are reported in one answer', async () => {
  const answer = await service.as(newUser()).get('/api/me/tasks/x?a=1&b%2Fc=2', { 'if-none-match': '1' })
  assertError(answer, 422, 'VALIDATION_FAILED', [
    ['params/task_id', 'format'],
    ['query/a', 'additionalProperties'],
    ['query/b~1c', 'additionalProperties'],
    ['headers/if-none-match', 'format'],
  ])
})

for (const method of ['GET', 'HEAD']) {
  test(`${method} with an If-None-Match that names the present version is 304 without a body`, async () => {
    const user = service.as(newUser())
    const { id } = await makeTask(user)
    for (const value of ['"1"', 'W/"1"', '*', ' * ', '"7", "1"', 'W/"7" ,W/"1"', '"1","1"']) {
      const answer = await user.request(method, `/api/me/tasks/${id}`, {
        headers: { 'if-none-match': value },
      })
      assert.equal(answer.status, 304, value)
      assert.equal(answer.text, '')
      assert.equal(answer.headers.get('etag'), '"1"')
      assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
      assert.match(answer.headers.get('x-request-id') ?? '', /./)
    }
  })
}

test('an If-None-Match that names other versions is answered with the task', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  for (const value of ['"2"', '"11"', '"01"', '""', 'W/"2", "0"', '"*"', '"W/1"', '"7,8"']) {
    assertTask(await user.get(`/api/me/tasks/${id}`, { 'if-none-match': value }), 200, { id })
  }
})

test('a malformed If-None-Match is 422', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  for (const value of ['1', '"1', 'W/1', 'w/"1"', '*, "1"', '"1" "2"']) {
    assertError(await user.get(`/api/me/tasks/${id}`, { 'if-none-match': value }), 422, 'VALIDATION_FAILED', [
      ['headers/if-none-match', 'format'],
    ])
  }
})

test('If-None-Match on a task that does not exist is 404', async () => {
  const path = `/api/me/tasks/${randomUUID()}`
  assertError(await service.as(newUser()).get(path, { 'if-none-match': '*' }), 404, 'TASK_NOT_FOUND')
})

test('HEAD answers with the status and headers of GET and no body', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const paths = [
    `/api/me/tasks/${id}`,
    `/api/me/tasks/${randomUUID()}`,
    '/api/me/tasks/x',
    `/api/other/tasks/${id}`,
  ]
  for (const path of paths) {
    const [get, head] = [await user.get(path), await user.request('HEAD', path)]
    assert.equal(head.status, get.status)
    assert.equal(head.text, '')
    assert.deepEqual(comparable(head), comparable(get))
  }
})

function comparable({ headers }: Answer): Record<string, string> {
  const {
    date: _,
    'x-request-id': __,
    connection: ___,
    'keep-alive': ____,
    ...rest
  } = Object.fromEntries(headers)
  return rest
}

/** Every byte as a percent escape. */
function escapeAll(text: string): string {
  return Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}
