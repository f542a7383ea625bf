import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { testIfMatch } from './preconditions.ts'
import { malformedIds, oddUserIds } from './text-cases.ts'

const service = await startApp()

testIfMatch(service, {
  change: (user, id, headers) => user.patch(`/api/me/tasks/${id}/complete`, undefined, headers),
})

async function start(fields: Record<string, unknown> = {}) {
  const user = service.as(newUser())
  const task = await makeTask(user, { title: 'Title', description: 'Text', ...fields })
  const path = `/api/me/tasks/${task.id}`
  return { user, task, path, completePath: `${path}/complete` }
}

test('completed true sets completed_at and keeps title and description', async () => {
  const { user, task, path, completePath } = await start()
  const after = assertTask(await user.patch(completePath, { completed: true }), 200)
  assert.deepEqual(after, {
    ...task,
    completed: true,
    completed_at: after.updated_at,
    updated_at: after.updated_at,
    version: 2,
  })
  assert.deepEqual(assertTask(await user.get(path), 200), after)
})

test('completed false clears completed_at', async () => {
  const { user, task, completePath } = await start({ completed: true })
  const after = assertTask(await user.patch(completePath, { completed: false }), 200)
  assert.deepEqual(after, {
    ...task,
    completed: false,
    completed_at: null,
    updated_at: after.updated_at,
    version: 2,
  })
})

for (const completed of [true, false]) {
  test(`completed ${completed} of a task that is so already changes nothing, but If-Match is compared`, async () => {
    const { user, task, completePath } = await start({ completed })
    assert.deepEqual(assertTask(await user.patch(completePath, { completed }), 200), task)
    assertError(
      await user.patch(completePath, { completed }, { 'if-match': '"2"' }),
      412,
      'PRECONDITION_FAILED',
      [['headers/if-match', 'mismatch']],
    )
    assert.equal((await makeTask(user)).version, 2)
  })
}

const json = { 'content-type': 'application/json' }
const bodiless: readonly (readonly [string, { raw?: string; headers?: Record<string, string> }])[] = [
  ['no body', {}],
  ['an empty JSON body', { raw: '', headers: json }],
  ['a JSON content type and no body', { headers: json }],
  ['an empty merge patch body', { raw: '', headers: { 'content-type': 'application/merge-patch+json' } }],
]
for (const [name, options] of bodiless) {
  test(`${name} toggles, there and back`, async () => {
    const { user, task, completePath } = await start()
    const there = assertTask(await user.request('PATCH', completePath, options), 200)
    assert.deepEqual(there, {
      ...task,
      completed: true,
      completed_at: there.updated_at,
      updated_at: there.updated_at,
      version: 2,
    })
    const back = assertTask(await user.request('PATCH', completePath, options), 200)
    assert.deepEqual(back, { ...task, updated_at: back.updated_at, version: 3 })
  })
}

test('of toggles that race each is made', async () => {
  const { user, path, completePath } = await start()
  const answers = await Promise.all(Array.from({ length: 15 }, () => user.patch(completePath)))
  const versions = answers.map((answer) => assertTask(answer, 200).version).sort((a, b) => a - b)
  assert.deepEqual(
    versions,
    Array.from({ length: 15 }, (_, index) => index + 2),
  )
  assertTask(await user.get(path), 200, { completed: true, version: 16 })
})

test('a merge patch is understood', async () => {
  const { user, completePath } = await start()
  const headers = { 'content-type': 'application/merge-patch+json' }
  assertTask(await user.patch(completePath, { completed: true }, headers), 200, { completed: true })
})

test('a body of the wrong form is refused, and nothing changes', async () => {
  const { user, task, path, completePath } = await start()
  const missing = ['/completed', 'required'] as const
  assertError(await user.patch(completePath, {}), 422, 'VALIDATION_FAILED', [missing])
  for (const completed of [null, 0, 1, 'true', '', [], {}]) {
    assertError(await user.patch(completePath, { completed }), 422, 'VALIDATION_FAILED', [
      ['/completed', 'type'],
    ])
  }
  for (const body of [null, [], 'true', 1, true]) {
    assertError(await user.patch(completePath, body), 422, 'VALIDATION_FAILED', [['', 'type']])
  }
  assertError(await user.patch(completePath, { complete: true, title: 'x' }), 422, 'VALIDATION_FAILED', [
    missing,
    ['/complete', 'additionalProperties'],
    ['/title', 'additionalProperties'],
  ])
  for (const raw of [' ', '{', 'true false', '\ufeff{"completed":true}']) {
    const answer = await user.request('PATCH', completePath, { raw, headers: json })
    assertError(answer, 400, 'INVALID_JSON', [['', 'json']])
  }
  assert.deepEqual(assertTask(await user.get(path), 200), task)
})

test('problems of body, path, query and headers are reported in one answer', async () => {
  const { user } = await start()
  const answer = await user.patch('/api/me/tasks/x/complete?q', { completed: 1, z: 2 }, { 'if-match': 'x' })
  assertError(answer, 422, 'VALIDATION_FAILED', [
    ['params/task_id', 'format'],
    ['query/q', 'additionalProperties'],
    ['headers/if-match', 'format'],
    ['/completed', 'type'],
    ['/z', 'additionalProperties'],
  ])
})

test('a task that does not exist and one of another user are the same 404', async () => {
  const { user, task, path, completePath } = await start()
  assertError(await user.patch(`/api/me/tasks/${randomUUID()}/complete`), 404, 'TASK_NOT_FOUND')
  assertError(await service.as(newUser()).patch(completePath, { completed: true }), 404, 'TASK_NOT_FOUND')
  assert.deepEqual(assertTask(await user.get(path), 200), task)
})

test('a malformed task id is 422', async () => {
  const { user } = await start()
  for (const id of malformedIds) {
    const answer = await user.patch(`/api/me/tasks/${encodeURIComponent(id)}/complete`)
    assertError(answer, 422, 'VALIDATION_FAILED', [['params/task_id', 'format']])
  }
})

test('the id is taken in either case, and me and the encoded user id are the same', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    const task = await makeTask(user)
    const path = `/api/${encodeURIComponent(userId)}/tasks/${task.id.toUpperCase()}/complete`
    assertTask(await user.patch(path), 200, { id: task.id, user_id: userId, completed: true })
  }
})
