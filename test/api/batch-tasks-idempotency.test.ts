import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertBatch, assertError, assertPage } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'

const service = await startApp()
const path = '/api/me/tasks/batch'

const isReplay = ({ headers }: { headers: Headers }) => headers.get('idempotency-replayed') === 'true'

/** Everything stored of a user but for the keys. */
function storedOf(user: Client): Promise<unknown> {
  return service.testDatabase.query(
    `select t::text from app.tasks t where user_id = $1
     union all select c::text from app.change_counters c where user_id = $1 order by 1`,
    [user.userId],
  )
}

for (const mode of ['atomic', 'independent']) {
  test(`${mode}: a repetition with the same key is answered with the first answer, and writes nothing`, async () => {
    const user = service.as(newUser())
    const { id } = await makeTask(user)
    const key = { 'idempotency-key': randomUUID() }
    const operations = [
      { op: 'create', task: { title: ' One ' } },
      { op: 'update', id, changes: { completed: true } },
      { op: 'create', task: { title: 'Two' } },
    ]
    const first = await user.post(path, { mode, operations }, key)
    const stored = await storedOf(user)
    const again = await user.post(path, { mode, operations }, key)
    assert.deepEqual(assertBatch(again), assertBatch(first))
    assert.deepEqual([isReplay(first), isReplay(again)], [false, true])
    assert.deepEqual(await storedOf(user), stored)
    const other = { mode, operations: operations.toReversed() }
    assertError(await user.post(path, other, key), 422, 'IDEMPOTENCY_KEY_REUSED')
    assert.deepEqual(await storedOf(user), stored)
  })
}

test('atomic: a failure is kept with its key, and nothing else of the batch is written', async () => {
  const user = service.as(newUser())
  const { id, ...task } = await makeTask(user)
  const before = await storedOf(user)
  const good = { op: 'create', task: { title: 'x' } }
  for (const [failing, status, code, problem] of [
    [{ op: 'delete', id: randomUUID() }, 404, 'TASK_NOT_FOUND', 'failed'],
    [{ op: 'create', task: { id, title: 'Other' } }, 409, 'TASK_EXISTS', 'failed'],
    [{ op: 'delete', id, if_version: 9 }, 412, 'PRECONDITION_FAILED', 'mismatch'],
  ] as const) {
    const key = { 'idempotency-key': randomUUID() }
    const body = { operations: [good, failing, good] }
    const first = await user.post(path, body, key)
    assertError(first, status, code, [['/operations/1', problem]])
    assert.deepEqual(await storedOf(user), before)
    const again = await user.post(path, body, key)
    assertError(again, status, code, [['/operations/1', problem]])
    assert.deepEqual(again.body.error, first.body.error)
    assert.deepEqual([isReplay(first), isReplay(again)], [false, true])
    assert.equal(again.headers.get('etag'), status === 412 ? '"1"' : null)
  }
  const key = { 'idempotency-key': randomUUID() }
  const changing = {
    operations: [
      { op: 'update', id, changes: { title: 'In the batch' } },
      { op: 'update', id, changes: {}, if_version: 1 },
    ],
  }
  const answer = await user.post(path, changing, key)
  assertError(answer, 412, 'PRECONDITION_FAILED', [['/operations/1', 'mismatch']])
  assert.deepEqual(answer.body.error.details[0].current, { id, ...task })
  assert.deepEqual(await storedOf(user), before)
})

test('a batch that is invalid, whole or in an operation, is kept with its key', async () => {
  const user = service.as(newUser())
  for (const body of [
    { operations: [] },
    { operations: [null] },
    { mode: 'independent', operations: [null] },
  ]) {
    const key = { 'idempotency-key': randomUUID() }
    const [first, again] = [await user.post(path, body, key), await user.post(path, body, key)]
    assert.deepEqual([first.status, isReplay(first), isReplay(again)], [again.status, false, true])
    assert.deepEqual([again.body.error, again.body.data], [first.body.error, first.body.data])
  }
  assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
})

test('of equal batches that race with one key one is made, and the others wait for it or get its answer', async () => {
  const user = service.as(newUser())
  const key = { 'idempotency-key': randomUUID() }
  const operations = Array.from({ length: 20 }, () => ({ op: 'create', task: { title: 'x' } }))
  const answers = await Promise.all(Array.from({ length: 12 }, () => user.post(path, { operations }, key)))
  const made = answers.filter(({ status }) => status === 200)
  assert.ok(made.length > 0)
  for (const answer of answers) {
    if (answer.status === 200) assert.deepEqual(assertBatch(answer), assertBatch(made[0] ?? answer))
    else assertError(answer, 409, 'IDEMPOTENCY_IN_PROGRESS')
  }
  assert.equal(assertPage(await user.get('/api/me/tasks')).tasks.length, 20)
  assert.equal((await makeTask(user)).version, 21)
})
