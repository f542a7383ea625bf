import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import type { Change } from '../../src/tasks/changes.ts'
import type { Task } from '../../src/tasks/task.ts'
import { newUser, startApp, testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { addressOf, startService } from '../support/process.ts'
import { findPreviousVersion, unpack } from './previous-version.ts'

// While instances are replaced one by one, the version before the newest migration serves on a schema that has it.
// Another version: PREVIOUS_COMMIT=… npm test -- test/rollout/previous-version.test.ts.

const previous = findPreviousVersion()
const skip = 'reason' in previous ? previous.reason : false

test('the version before the newest migration reads and writes beside this one', { skip }, async (t) => {
  if ('reason' in previous) return
  t.diagnostic(`${previous.commit.slice(0, 8)}, which lacks ${previous.lacking} of the migrations`)
  const testDatabase = await createTestDatabase()
  t.after(() => testDatabase.drop())
  const present = await startApp({ testDatabase })
  t.after(() => present.stop())
  const folder = unpack(previous.commit)
  const environment = { DATABASE_URL: addressOf(testDatabase.connection), BETTER_AUTH_SECRET: testSecret }
  const old = await startService(environment, folder, folder)
  const userId = newUser()
  const user = present.as(userId)
  const token = signToken({ secret: testSecret, userId })
  const askOld = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${old.url}/api/me/tasks${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`)
    return JSON.parse(text).data
  }

  assert.equal((await fetch(`${old.url}/ready`)).status, 200)
  const { body: start } = await user.get('/api/me/changes')
  // Both write in turn, on each other's tasks.
  const created: Task = await askOld('POST', '', { title: 'By the old one', description: 'é' })
  const mine: Task = (await user.post('/api/me/tasks', { title: 'By the new one' })).body.data
  await askOld('PATCH', `/${mine.id}`, { description: 'changed by the old one' })
  await user.patch(`/api/me/tasks/${created.id}`, { title: 'Changed by the new one' })
  await askOld('PATCH', `/${created.id}/complete`)
  await askOld('PUT', `/${mine.id}`, { title: 'Replaced by the old one' })
  const gone: Task = await askOld('POST', '', { title: 'Deleted by the old one' })
  await askOld('DELETE', `/${gone.id}`)

  // Both see the same, and the versions go on from each other.
  const { data: tasks }: { data: Task[] } = (await user.get('/api/me/tasks')).body
  assert.deepEqual(await askOld('GET', ''), tasks)
  assert.deepEqual(
    await askOld('GET', `/${mine.id}`),
    tasks.find(({ id }) => id === mine.id),
  )
  const found = tasks.map(({ title, description, completed }) => [title, description, completed])
  assert.deepEqual(found.sort(), [
    ['Changed by the new one', 'é', true],
    ['Replaced by the old one', 'changed by the old one', false],
  ])
  // And whoever follows the changes misses nothing that the old one did.
  const page = (await user.get(`/api/me/changes?since=${start.meta.next_cursor}`)).body
  const changes: Change[] = page.data
  assert.equal(page.meta.has_more, false)
  const upserts = changes.flatMap((change) => (change.type === 'upsert' ? [change.task] : []))
  const byVersion = tasks.toSorted((a, b) => a.version - b.version)
  assert.deepEqual(upserts, byVersion)
  const deletions = changes.flatMap((change) => (change.type === 'delete' ? [change.id] : []))
  assert.deepEqual(deletions, [gone.id])
  assert.equal((await old.end('SIGTERM')).code, 0)
})
