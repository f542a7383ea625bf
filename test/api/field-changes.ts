import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Task } from '../../src/tasks/task.ts'
import { assertError, assertTask } from '../support/answers.ts'
import { makeTask, newUser, type TestService } from '../support/app.ts'
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

/** The tests that PUT and PATCH of a task have in common: both change the fields that they name and no others. */
export function testFieldChanges(service: TestService, method: 'PUT' | 'PATCH'): void {
  const full = { title: 'Before', description: 'Old text', completed: true }

  async function start(fields: Record<string, unknown> = full) {
    const user = service.as(newUser())
    const task = await makeTask(user, fields)
    const path = `/api/me/tasks/${task.id}`
    return {
      user,
      task,
      path,
      change: (json: unknown, headers: Record<string, string> = {}) =>
        user.request(method, path, { json, headers }),
      read: async () => assertTask(await user.get(path), 200),
    }
  }

  const changes: readonly (readonly [name: string, change: Partial<Task>, from?: Record<string, unknown>])[] =
    [
      ['title', { title: 'After' }],
      ['description', { description: 'New text' }],
      ['description to null', { description: null }],
      ['description to the empty text', { description: '' }],
      ['description from null', { description: 'New text' }, { title: 'Before', completed: true }],
      ['completed', { completed: false }],
      ['all three', { title: 'After', description: 'New text', completed: false }],
    ]
  for (const [name, change, from] of changes) {
    test(`${method} of ${name} keeps every field that it does not name`, async () => {
      const { task, read, change: send } = await start(from)
      const answer = assertTask(await send(change), 200)
      const completed = change.completed ?? task.completed
      assert.deepEqual(answer, {
        ...task,
        ...change,
        completed_at: completed ? task.completed_at : null,
        updated_at: answer.updated_at,
        version: 2,
      })
      assert.ok(answer.updated_at >= task.updated_at)
      assert.deepEqual(await read(), answer)
    })
  }

  test('completed_at is set when completed becomes true, kept while it stays true, and cleared after', async () => {
    const { change } = await start({ title: 'To do' })
    const completed = assertTask(await change({ completed: true }), 200, { version: 2 })
    assert.equal(completed.completed_at, completed.updated_at)
    const renamed = assertTask(await change({ title: 'Done', completed: true }), 200, { version: 3 })
    assert.equal(renamed.completed_at, completed.completed_at)
    assertTask(await change({ completed: false }), 200, { completed_at: null, version: 4 })
  })

  const unchanged = [
    { title: 'Before' },
    { title: ' \u00a0Before\ufeff' },
    { description: 'Old text' },
    { completed: true },
    { title: 'Before', description: 'Old text', completed: true },
  ]
  for (const body of unchanged) {
    test(`${method} ${JSON.stringify(body)} of values that are stored changes nothing, not even the version`, async () => {
      const { user, task, change, read } = await start()
      assert.deepEqual(assertTask(await change(body), 200), task)
      assert.deepEqual(await read(), task)
      assert.equal((await makeTask(user)).version, 2)
    })
  }

  test('If-Match is compared although the values are the stored ones', async () => {
    const { task, change } = await start()
    assertError(await change({ title: 'Before' }, { 'if-match': '"9"' }), 412, 'PRECONDITION_FAILED', [
      ['headers/if-match', 'mismatch'],
    ])
    assert.deepEqual(assertTask(await change({ title: 'Before' }, { 'if-match': '"1"' }), 200), task)
  })

  test('every title that the rules allow is stored trimmed and otherwise unaltered', async () => {
    const { change, read } = await start()
    for (const [sent, stored] of goodTitles) {
      assertTask(await change({ title: sent }), 200, { title: stored })
      assert.equal((await read()).title, stored)
    }
  })

  test('every description that the rules allow is stored unaltered', async () => {
    const { change, read } = await start()
    for (const description of goodDescriptions) {
      assertTask(await change({ description }), 200, { description })
      assert.equal((await read()).description, description)
    }
  })

  test('every text that the rules forbid is refused with the field that holds it, and changes nothing', async () => {
    const { task, change, read } = await start()
    for (const [title, code] of badTitles) {
      assertError(await change({ title }), 422, 'VALIDATION_FAILED', [['/title', code]])
    }
    for (const [description, code] of badDescriptions) {
      assertError(await change({ description }), 422, 'VALIDATION_FAILED', [['/description', code]])
    }
    for (const completed of [null, 0, 1, 'true', [], {}]) {
      assertError(await change({ completed }), 422, 'VALIDATION_FAILED', [['/completed', 'type']])
    }
    assert.deepEqual(await read(), task)
  })

  test('fields that are unknown or read-only are refused and named, and change nothing', async () => {
    const { task, change, read } = await start()
    const answer = await change({ title: 'After', id: randomUUID(), ...foreignBody })
    assertError(answer, 422, 'VALIDATION_FAILED', [['/id', 'additionalProperties'], ...foreignProblems])
    assert.deepEqual(await read(), task)
  })

  test('problems of body, path, query and headers are reported in one answer', async () => {
    const { user } = await start()
    const answer = await user.request(method, '/api/me/tasks/no-uuid?x=1&y=2', {
      json: { title: '\0'.repeat(256), description: 7, completed: 'yes', version: 2 },
      headers: { 'if-match': 'unquoted' },
    })
    assertError(answer, 422, 'VALIDATION_FAILED', [
      ['params/task_id', 'format'],
      ['query/x', 'additionalProperties'],
      ['query/y', 'additionalProperties'],
      ['headers/if-match', 'format'],
      ['/title', 'maxLength'],
      ['/title', 'pattern'],
      ['/description', 'type'],
      ['/completed', 'type'],
      ['/version', 'additionalProperties'],
    ])
  })

  test('a body that is no object is refused', async () => {
    const { user, task, path, read } = await start()
    for (const body of ['null', '[]', '"x"', '7', 'true', '[{"title":"x"}]', '']) {
      const answer = await user.request(method, path, {
        raw: body,
        headers: { 'content-type': 'application/json' },
      })
      assertError(answer, 422, 'VALIDATION_FAILED', [['', 'type']])
    }
    assertError(await user.request(method, path), 422, 'VALIDATION_FAILED', [['', 'type']])
    assert.deepEqual(await read(), task)
  })

  test('a task that does not exist and one of another user are the same 404', async () => {
    const { user, task } = await start()
    const other = service.as(newUser())
    assertError(
      await user.request(method, `/api/me/tasks/${randomUUID()}`, { json: { title: 'x' } }),
      404,
      'TASK_NOT_FOUND',
    )
    assertError(
      await other.request(method, `/api/me/tasks/${task.id}`, { json: { title: 'x' } }),
      404,
      'TASK_NOT_FOUND',
    )
  })

  test('a malformed task id is 422', async () => {
    const { user } = await start()
    for (const id of malformedIds) {
      const path = `/api/me/tasks/${encodeURIComponent(id)}`
      assertError(await user.request(method, path, { json: { title: 'x' } }), 422, 'VALIDATION_FAILED', [
        ['params/task_id', 'format'],
      ])
    }
  })

  test('the id is taken in either case, and me and the encoded user id are the same', async () => {
    for (const userId of [newUser(), ...oddUserIds(newUser())]) {
      const user = service.as(userId)
      const task = await makeTask(user)
      const path = `/api/${encodeURIComponent(userId)}/tasks/${task.id.toUpperCase()}`
      assertTask(await user.request(method, path, { json: { title: 'After' } }), 200, {
        id: task.id,
        user_id: userId,
        title: 'After',
      })
    }
  })
}
