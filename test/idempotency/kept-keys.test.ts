import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { assertReplay, isReplay, newKey } from './kept-answers.ts'

const service = await startApp()
const { query } = service.testDatabase

test('the same key of two users is two keys, whoever is first', async () => {
  const [a, b] = [service.as(newUser()), service.as(newUser())]
  const key = newKey()
  const [ofA, ofB] = [
    await a.post('/api/me/tasks', { title: 'a' }, key),
    await b.post('/api/me/tasks', { title: 'b' }, key),
  ]
  assertTask(ofA, 201, { user_id: a.userId, title: 'a', version: 1 })
  assertTask(ofB, 201, { user_id: b.userId, title: 'b', version: 1 })
  for (const answer of [ofA, ofB]) assert.ok(!isReplay(answer))
  assertReplay(await a.post('/api/me/tasks', { title: 'a' }, key), ofA)
  assertReplay(await b.post('/api/me/tasks', { title: 'b' }, key), ofB)
})

test('users and keys that read alike when put together are not mixed up', async () => {
  const [short, long] = [newUser(), `${newUser()}x`]
  const user = `${short}k`
  const answers = [
    await service.as(short).post('/api/me/tasks', { title: '1' }, { 'idempotency-key': 'kkey' }),
    await service.as(user).post('/api/me/tasks', { title: '2' }, { 'idempotency-key': 'key' }),
    await service.as(long).post('/api/me/tasks', { title: '3' }, { 'idempotency-key': `${short}` }),
  ]
  for (const answer of answers) assertTask(answer, 201, { version: 1 })
})

/** Makes the keys of a user that much older. */
async function age(userId: string, interval: string): Promise<void> {
  await query('update app.idempotency_keys set expires_at = expires_at - $2::interval where user_id = $1', [
    userId,
    interval,
  ])
}

test('an answer is kept for 24 hours', async () => {
  const user = service.as(newUser())
  const key = newKey()
  const create = () => user.post('/api/me/tasks', { title: 'x' }, key)
  const first = await create()
  const rows = await query<{ kept: boolean }>(
    `select expires_at - now() between '23 hours 59 minutes' and '24 hours' as kept from app.idempotency_keys
    where user_id = $1`,
    [user.userId],
  )
  assert.deepEqual(rows, [{ kept: true }])
  await age(user.userId, '23 hours 55 minutes')
  assertReplay(await create(), first)
  // A retry does not make it last longer.
  await age(user.userId, '5 minutes')
  const again = await create()
  assert.ok(!isReplay(again))
  assertTask(again, 201, { version: 2 })
  assertReplay(await create(), again)
})

test('a key that has expired may be used for another request', async () => {
  const user = service.as(newUser())
  const key = newKey()
  await user.post('/api/me/tasks', { title: 'x' }, key)
  await age(user.userId, '24 hours')
  const other = await user.post('/api/me/tasks', { title: 'y' }, key)
  assertTask(other, 201, { title: 'y' })
  assertReplay(await user.post('/api/me/tasks', { title: 'y' }, key), other)
  assertError(await user.post('/api/me/tasks', { title: 'x' }, key), 422, 'IDEMPOTENCY_KEY_REUSED')
  assert.equal((await query('select from app.idempotency_keys where user_id = $1', [user.userId])).length, 1)
})

test('a kept answer that writes nothing moves no counter, and gives a user without one a counter at 0', async () => {
  const versionOf = (userId: string) =>
    query<{ version: string }>('select version from app.change_counters where user_id = $1', [userId])
  const [fresh, known] = [service.as(newUser()), service.as(newUser())]
  await makeTask(known)
  for (const [user, version] of [
    [fresh, '0'],
    [known, '1'],
  ] as const) {
    const path = `/api/me/tasks/${randomUUID()}`
    assertError(await user.patch(path, {}, newKey()), 404, 'TASK_NOT_FOUND')
    assertError(await user.post('/api/me/tasks', {}, newKey()), 422, 'VALIDATION_FAILED', [
      ['/title', 'required'],
    ])
    assert.deepEqual(await versionOf(user.userId), [{ version }])
  }
  // The next change has the next number.
  assert.equal((await makeTask(fresh)).version, 1)
})

test('the largest answers are kept whole', async () => {
  const user = service.as(newUser())
  // Each character takes six bytes as JSON.
  const description = '\u0001'.repeat(10_000)
  const key = newKey()
  const create = () => user.post('/api/me/tasks', { title: 'x'.repeat(255), description }, key)
  const first = await create()
  assertTask(first, 201, { description })
  assertReplay(await create(), first)
  const padded = { 'idempotency-key': 'k'.repeat(255) }
  const fields = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, n) => [`${n}${'\u0001'.repeat(150)}`, 0]),
  )
  const refused = await user.post('/api/me/tasks', fields, padded)
  assert.deepEqual([refused.status, refused.body.error.details.length], [422, 100])
  assertReplay(await user.post('/api/me/tasks', fields, padded), refused)
})

test('what is kept holds nothing of the request but its fingerprint and its answer', async () => {
  const user = service.as(newUser())
  await user.post('/api/me/tasks', { title: '', secret_field: 'secret value' }, newKey())
  const [row] = await query<{ row: object }>(
    'select to_jsonb(k) as row from app.idempotency_keys k where user_id = $1',
    [user.userId],
  )
  assert.deepEqual(Object.keys(row?.row ?? {}).sort(), [
    'answer',
    'expires_at',
    'fingerprint',
    'key',
    'user_id',
  ])
  const text = JSON.stringify(row)
  assert.ok(!text.includes('secret value') && !text.includes(user.token))
})
