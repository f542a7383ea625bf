import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { storeTasks } from './stored-tasks.ts'
import { exportTasks, storedOf } from './transfers.ts'

const service = await startApp()

const erase = (user: Client, headers: Record<string, string> = { confirm: 'erase' }) =>
  user.delete('/api/me/data', headers)

/** The rows of a user, without who wrote them. */
const rowsOf = async (user: Client) =>
  (await storedOf(service, user)).map((each) => ('row' in each ? each.row : undefined))

/** A user with something in every table. */
async function makeRichUser(): Promise<Client> {
  const user = service.as(newUser())
  await makeTask(user)
  const { id } = await makeTask(user)
  await user.delete(`/api/me/tasks/${id}`)
  await service.testDatabase.query(
    'insert into app.deletions (user_id, id, version, removed_at) values ($1, $2, 1000000, now())',
    [user.userId, randomUUID()],
  )
  await service.testDatabase.query(
    `insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
    select $1, k, 'f', '{}', now() from unnest(array['a', '~', ' ']) k`,
    [user.userId],
  )
  return user
}

test('an erasure removes tasks, trash, deletions and keys for good; the counter stays, moved up by one', async () => {
  const [user, other] = [await makeRichUser(), await makeRichUser()]
  const others = await storedOf(service, other)
  assert.equal((await storedOf(service, user)).length, 7)
  const answer = await erase(user)
  assert.deepEqual([answer.status, answer.body.data], [200, { removed: 2 }])
  assert.deepEqual(await rowsOf(user), [{ user_id: user.userId, version: 4, expired_before: 4 }])
  assert.deepEqual(await exportTasks(user), [])
  assert.deepEqual(await storedOf(service, other), others)
  assert.equal((await makeTask(user)).version, 5, 'no version is given twice')
})

test('an erasure of what is empty already moves the counter all the same', async () => {
  const user = await makeRichUser()
  await erase(user)
  assert.deepEqual((await erase(user)).body.data, { removed: 0 })
  assert.deepEqual(await rowsOf(user), [{ user_id: user.userId, version: 5, expired_before: 5 }])
})

test('a user who never wrote has nothing to erase, and gets no row', async () => {
  const user = service.as(newUser())
  assert.deepEqual((await erase(user)).body.data, { removed: 0 })
  assert.deepEqual(await storedOf(service, user), [])
})

test('without Confirm: erase nothing is erased', async () => {
  const user = await makeRichUser()
  const before = await storedOf(service, user)
  assertError(await erase(user, {}), 422, 'VALIDATION_FAILED', [['headers/confirm', 'required']])
  for (const confirm of ['', 'Erase', 'yes', 'erase,erase', 'erase now']) {
    assertError(await erase(user, { confirm }), 422, 'VALIDATION_FAILED', [['headers/confirm', 'pattern']])
  }
  const both = await user.delete('/api/me/data?confirm=erase')
  assertError(both, 422, 'VALIDATION_FAILED', [
    ['query/confirm', 'additionalProperties'],
    ['headers/confirm', 'required'],
  ])
  assert.deepEqual(await storedOf(service, user), before)
})

test('more tasks than one statement removes are all removed', async () => {
  const user = service.as(newUser())
  await storeTasks(service, user, 2_001)
  assert.deepEqual((await erase(user)).body.data, { removed: 2_001 })
  assert.deepEqual(await exportTasks(user), [])
})

test('an erasure that fails half-way erases nothing', async () => {
  const user = await makeRichUser()
  const before = await storedOf(service, user)
  // Keys come last.
  await service.testDatabase.query('alter table app.idempotency_keys rename to keys_away')
  try {
    assertError(await erase(user), 500, 'INTERNAL_ERROR')
  } finally {
    await service.testDatabase.query('alter table app.keys_away rename to idempotency_keys')
  }
  assert.deepEqual(await storedOf(service, user), before)
  assert.deepEqual((await erase(user)).body.data, { removed: 2 })
})
