import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask, uuidV7Form } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import {
  badDescriptions,
  badTitles,
  foreignBody,
  foreignProblems,
  goodDescriptions,
  goodTitles,
  malformedIds,
  oddUserIds,
} from './text-cases.ts'

const service = await startApp()

test('a title alone makes a task with the defaults, 201, Location and ETag', async () => {
  const user = service.as(newUser())
  const answer = await user.post('/api/me/tasks', { title: '  Buy milk\t' })
  const task = assertTask(answer, 201)
  assert.deepEqual(task, {
    id: task.id,
    user_id: user.userId,
    title: 'Buy milk',
    description: null,
    completed: false,
    completed_at: null,
    created_at: task.created_at,
    updated_at: task.created_at,
    version: 1,
  })
  assert.match(task.id, uuidV7Form)
  assert.equal(answer.headers.get('etag'), '"1"')
  assert.equal(answer.headers.get('location'), `/api/${user.userId}/tasks/${task.id}`)
})

test('a full body makes the task it describes', async () => {
  const user = service.as(newUser())
  const id = randomUUID()
  const body = { id, title: 'Title', description: '  Text\n', completed: true }
  const task = assertTask(await user.post('/api/me/tasks', body), 201)
  assert.deepEqual(task, {
    ...body,
    user_id: user.userId,
    completed_at: task.created_at,
    created_at: task.created_at,
    updated_at: task.created_at,
    version: 1,
  })
  assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${id}`), 200), task)
})

test('every creation takes the next change number of its user', async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  for (const version of [1, 2, 3]) {
    assertTask(await user.post('/api/me/tasks', { title: 'x' }), 201, { version })
    assertTask(await other.post('/api/me/tasks', { title: 'x' }), 201, { version })
  }
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => user.post('/api/me/tasks', { title: 'x' })),
  )
  const versions = answers.map((answer) => assertTask(answer, 201).version).sort((a, b) => a - b)
  assert.deepEqual(
    versions,
    Array.from({ length: 30 }, (_, index) => index + 4),
  )
})

test('every title that the rules allow is stored trimmed and otherwise unaltered', async () => {
  const user = service.as(newUser())
  for (const [sent, stored] of goodTitles) {
    const { id } = assertTask(await user.post('/api/me/tasks', { title: sent }), 201, { title: stored })
    assertTask(await user.get(`/api/me/tasks/${id}`), 200, { title: stored })
  }
})

test('every description that the rules allow is stored unaltered', async () => {
  const user = service.as(newUser())
  for (const description of goodDescriptions) {
    const { id } = assertTask(await user.post('/api/me/tasks', { title: 'x', description }), 201, {
      description,
    })
    assertTask(await user.get(`/api/me/tasks/${id}`), 200, { description })
  }
})

test('every value that the rules forbid is refused with the field that holds it, and nothing is stored', async () => {
  const user = service.as(newUser())
  const refuse = async (body: Record<string, unknown>, path: string, code: string) =>
    assertError(await user.post('/api/me/tasks', body), 422, 'VALIDATION_FAILED', [[path, code]])
  for (const [title, code] of badTitles) await refuse({ title }, '/title', code)
  for (const [description, code] of badDescriptions)
    await refuse({ title: 'x', description }, '/description', code)
  for (const completed of [null, 0, 1, 'true', [], {}])
    await refuse({ title: 'x', completed }, '/completed', 'type')
  for (const id of ['', ...malformedIds]) await refuse({ title: 'x', id }, '/id', 'format')
  for (const id of [null, 7, [randomUUID()]]) await refuse({ title: 'x', id }, '/id', 'type')
  await refuse({}, '/title', 'required')
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [])
  assert.equal((await makeTask(user)).version, 1)
})

test('fields that are unknown or read-only are refused and named', async () => {
  const user = service.as(newUser())
  const answer = await user.post('/api/me/tasks', { title: 'x', ...foreignBody })
  assertError(answer, 422, 'VALIDATION_FAILED', foreignProblems)
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [])
})

test('problems of body and query are reported in one answer', async () => {
  const user = service.as(newUser())
  const body = { description: '\ud800'.repeat(10_001), completed: 'no', id: 'x', version: 1 }
  assertError(await user.post('/api/me/tasks?title=x&limit=5', body), 422, 'VALIDATION_FAILED', [
    ['/title', 'required'],
    ['/description', 'maxLength'],
    ['/description', 'pattern'],
    ['/completed', 'type'],
    ['/id', 'format'],
    ['/version', 'additionalProperties'],
    ['query/title', 'additionalProperties'],
    ['query/limit', 'additionalProperties'],
  ])
})

test('a body that is no object is refused', async () => {
  const user = service.as(newUser())
  for (const raw of ['null', '[]', '"x"', '7', 'true', '[{"title":"x"}]', '']) {
    const answer = await user.request('POST', '/api/me/tasks', {
      raw,
      headers: { 'content-type': 'application/json' },
    })
    assertError(answer, 422, 'VALIDATION_FAILED', [['', 'type']])
  }
  assertError(await user.post('/api/me/tasks'), 422, 'VALIDATION_FAILED', [['', 'type']])
})

test('a merge patch is not understood: 415', async () => {
  const headers = { 'content-type': 'application/merge-patch+json' }
  const answer = await service.as(newUser()).post('/api/me/tasks', { title: 'x' }, headers)
  assertError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')
})

test('a path with me or the encoded user id is the same, and the Location can be used as it is', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    for (const name of ['me', encodeURIComponent(userId)]) {
      const answer = await user.post(`/api/${name}/tasks`, { title: 'x' })
      const task = assertTask(answer, 201, { user_id: userId })
      const location = answer.headers.get('location') ?? ''
      assert.equal(location, `/api/${encodeURIComponent(userId)}/tasks/${task.id}`)
      assert.deepEqual(assertTask(await user.get(location), 200), task)
    }
  }
})

test('user ids that differ in case, form or white space alone are different users', async () => {
  const unique = newUser()
  const names = [`${unique}\u00e9`, `${unique}e\u0301`, `${unique}E\u0301`, `${unique}e`, `${unique}e `]
  for (const name of names) {
    const user = service.as(name)
    assertTask(await user.post('/api/me/tasks', { title: 'x' }), 201, { version: 1, user_id: name })
    for (const other of names.filter((each) => each !== name)) {
      assertError(await user.get(`/api/${encodeURIComponent(other)}/tasks`), 403, 'FORBIDDEN')
    }
  }
})
