import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { testFieldChanges } from './field-changes.ts'
import { testIfMatch } from './preconditions.ts'

const service = await startApp()

testFieldChanges(service, 'PATCH')
testIfMatch(service, {
  change: (user, id, headers) => user.patch(`/api/me/tasks/${id}`, { title: 'New' }, headers),
})

const types = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json;charset="UTF-8"',
  'APPLICATION/JSON',
  'application/merge-patch+json',
  'application/merge-patch+json; charset=utf-8',
  'Application/Merge-Patch+JSON',
]
for (const type of types) {
  test(`${type} is understood: null clears, what is left out stays`, async () => {
    const user = service.as(newUser())
    const task = await makeTask(user, { title: 'Title', description: 'Text', completed: true })
    const answer = await user.patch(
      `/api/me/tasks/${task.id}`,
      { description: null },
      { 'content-type': type },
    )
    const after = assertTask(answer, 200)
    assert.deepEqual(after, { ...task, description: null, updated_at: after.updated_at, version: 2 })
  })

  test(`an empty ${type} changes nothing and keeps the version`, async () => {
    const user = service.as(newUser())
    const task = await makeTask(user, { description: 'Text' })
    const answer = await user.patch(`/api/me/tasks/${task.id}`, {}, { 'content-type': type })
    assert.deepEqual(assertTask(answer, 200), task)
    assert.equal((await makeTask(user)).version, 2)
  })
}

test('of many changes in quick succession each has an updated_at of its own, never before the one it follows', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user)
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) => user.patch(`/api/me/tasks/${task.id}`, { title: `Title ${n}` })),
  )
  const states = [task, ...answers.map((answer) => assertTask(answer, 200))].sort(
    (a, b) => a.version - b.version,
  )
  assert.deepEqual(
    states.map(({ version }) => version),
    states.map((_, index) => index + 1),
  )
  const times = states.map((state) => state.updated_at)
  assert.deepEqual(times, times.toSorted())
  assert.equal(new Set(times).size, times.length)
})

test('changes of different fields that race are all kept', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user)
  const path = `/api/me/tasks/${task.id}`
  await Promise.all([
    user.patch(path, { title: 'New title' }),
    user.patch(path, { description: 'New text' }),
    user.patch(path, { completed: true }),
  ])
  assertTask(await user.get(path), 200, {
    title: 'New title',
    description: 'New text',
    completed: true,
    version: 4,
  })
})
