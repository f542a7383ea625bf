import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { counterOf, deletionsOf, makeTrashedTask, storeTrash } from '../support/trash.ts'
import { oddUserIds } from './text-cases.ts'

const service = await startApp()
const { testDatabase } = service

async function empty(user: Client, path = '/api/me/trash'): Promise<number> {
  const { status, headers, body, text } = await user.delete(path)
  assert.equal(status, 200, text)
  assert.equal(headers.get('cache-control'), 'private, no-cache')
  assert.equal(headers.get('etag'), null)
  assert.deepEqual(Object.keys(body.data), ['removed'])
  return body.data.removed
}

test('everything in the trash is removed for good, and nothing else', async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const live = await makeTask(user)
  const gone = [await makeTrashedTask(user), await makeTrashedTask(user), await makeTrashedTask(user)]
  const kept = await makeTrashedTask(other)
  assert.equal(await empty(user), 3)
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [])
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [live])
  assert.deepEqual((await other.get('/api/me/trash')).body.data, [kept])
  const expected = gone.map(({ id, version }) => ({ id, version }))
  assert.deepEqual(await deletionsOf(testDatabase, user.userId), expected)
  for (const { id } of gone)
    assertError(await user.post(`/api/me/tasks/${id}/restore`), 404, 'TASK_NOT_FOUND')
})

test('it takes one change number, and none when the trash is empty', async () => {
  const user = service.as(newUser())
  assert.equal(await empty(user), 0)
  await makeTask(user)
  assert.equal(await empty(user), 0)
  assert.deepEqual(await counterOf(testDatabase, user.userId), { version: 1, expired_before: 0 })
  await makeTrashedTask(user)
  await makeTrashedTask(user)
  const before = (await user.get('/api/me/trash')).headers.get('etag')
  assert.equal(await empty(user), 2)
  assert.notEqual((await user.get('/api/me/trash')).headers.get('etag'), before)
  assert.equal((await counterOf(testDatabase, user.userId)).version, 6)
})

test('a trash of more tasks than one statement removes is emptied all the same', async () => {
  const user = service.as(newUser())
  await storeTrash(service, user.userId, 12_000)
  assert.equal(await empty(user), 12_000)
  assert.equal(await empty(user), 0)
  assert.equal((await deletionsOf(testDatabase, user.userId)).length, 12_000)
})

test('a trash of just as many tasks as one statement removes is emptied', async () => {
  const user = service.as(newUser())
  await storeTrash(service, user.userId, 5_000)
  assert.equal(await empty(user), 5_000)
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [])
})

test('with deletions at the same time, each task is removed once, and none by mistake', async () => {
  const user = service.as(newUser())
  const tasks = await Promise.all(Array.from({ length: 30 }, () => makeTask(user)))
  const removed = await Promise.all(
    tasks.map(async ({ id }, n) => {
      await user.delete(`/api/me/tasks/${id}`)
      return n % 3 === 0 ? empty(user) : 0
    }),
  )
  const total = removed.reduce((sum, each) => sum + each, await empty(user))
  assert.equal(total, 30)
  assert.equal((await deletionsOf(testDatabase, user.userId)).length, 30)
})

test('If-Match can never hold for the trash as a whole, so it keeps the trash from being emptied', async () => {
  const user = service.as(newUser())
  const kept = await makeTrashedTask(user)
  const weak = (await user.get('/api/me/trash')).headers.get('etag') ?? ''
  for (const value of [weak, '"2"', '"1", "2"', 'W/"2"']) {
    assertError(await user.delete('/api/me/trash', { 'if-match': value }), 412, 'PRECONDITION_FAILED', [
      ['headers/if-match', 'mismatch'],
    ])
  }
  assertError(await user.delete('/api/me/trash', { 'if-match': '2' }), 422, 'VALIDATION_FAILED', [
    ['headers/if-match', 'format'],
  ])
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [kept])
  assert.equal((await user.delete('/api/me/trash', { 'if-match': '*' })).body.data.removed, 1)
})

test('a parameter is refused, so that nobody empties the trash who meant a part of it', async () => {
  const user = service.as(newUser())
  const kept = await makeTrashedTask(user)
  for (const name of ['limit', 'cursor', 'before', 'task_id', 'dry_run']) {
    assertError(await user.delete(`/api/me/trash?${name}=1`), 422, 'VALIDATION_FAILED', [
      [`query/${name}`, 'additionalProperties'],
    ])
  }
  assert.deepEqual((await user.get('/api/me/trash')).body.data, [kept])
})

test('me and the encoded user id are the same', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    await makeTrashedTask(user)
    assert.equal(await empty(user, `/api/${encodeURIComponent(userId)}/trash`), 1)
  }
})
