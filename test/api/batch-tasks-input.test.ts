import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertBatch, assertError, assertPage, outcomesOf, type Problem } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { badTitles, goodTitles } from './text-cases.ts'

const service = await startApp()
const path = '/api/me/tasks/batch'
const create = { op: 'create', task: { title: 'x' } }
const id = randomUUID()

async function assertNothingWritten(user: Client): Promise<void> {
  assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
  assert.equal((await makeTask(user)).version, 1)
}

/** Bodies that are refused as a whole, in any mode. */
const badBodies: readonly (readonly [body: unknown, ...problems: Problem[]])[] = [
  [null, ['', 'type']],
  [[], ['', 'type']],
  ['x', ['', 'type']],
  [7, ['', 'type']],
  [{}, ['/operations', 'required']],
  [{ mode: 'atomic' }, ['/operations', 'required']],
  [{ operations: null }, ['/operations', 'type']],
  [{ operations: {} }, ['/operations', 'type']],
  [{ operations: 'create' }, ['/operations', 'type']],
  [{ operations: [] }, ['/operations', 'minItems']],
  [{ operations: Array(101).fill(create) }, ['/operations', 'maxItems']],
  [{ mode: 'all', operations: [create] }, ['/mode', 'enum']],
  [{ mode: 'Atomic', operations: [create] }, ['/mode', 'enum']],
  [{ mode: null, operations: [create] }, ['/mode', 'type'], ['/mode', 'enum']],
  [{ operations: [create], atomic: true }, ['/atomic', 'additionalProperties']],
  [
    { mode: 1, operations: [], 'a/b': 1 },
    ['/mode', 'type'],
    ['/mode', 'enum'],
    ['/operations', 'minItems'],
    ['/a~1b', 'additionalProperties'],
  ],
]
for (const [body, ...problems] of badBodies) {
  test(`the body ${JSON.stringify(body).slice(0, 60)} is 422 as a whole, whatever the mode`, async () => {
    const user = service.as(newUser())
    assertError(await user.post(path, body), 422, 'VALIDATION_FAILED', problems)
    if (typeof body === 'object' && body !== null && !Array.isArray(body) && !('mode' in body)) {
      assertError(await user.post(path, { mode: 'independent', ...body }), 422, 'VALIDATION_FAILED', problems)
    }
    await assertNothingWritten(user)
  })
}

// As deep as a body may be, with the four levels around it.
const deep = JSON.parse('['.repeat(60) + ']'.repeat(60))

/** Operations that are invalid, with their problems; paths are below the operation's own. */
const badOperations: readonly (readonly [operation: unknown, ...problems: Problem[]])[] = [
  [null, ['', 'type']],
  ['create', ['', 'type']],
  [1, ['', 'type']],
  [true, ['', 'type']],
  [[], ['', 'type']],
  [[create], ['', 'type']],
  [deep, ['', 'type']],
  [{}, ['/op', 'required']],
  [{ task: { title: 'x' } }, ['/op', 'required']],
  [{ op: 'complete', id }, ['/op', 'enum']],
  [{ op: 'Create', task: { title: 'x' } }, ['/op', 'enum']],
  [{ op: 'constructor' }, ['/op', 'enum']],
  [{ op: '__proto__' }, ['/op', 'enum']],
  [{ op: null }, ['/op', 'type'], ['/op', 'enum']],
  [{ op: ['create'], task: { title: 'x' } }, ['/op', 'type'], ['/op', 'enum']],
  [{ op: 'create' }, ['/task', 'required']],
  [{ op: 'create', task: null }, ['/task', 'type']],
  [{ op: 'create', task: deep }, ['/task', 'type']],
  [{ op: 'create', task: {} }, ['/task/title', 'required']],
  [{ op: 'create', task: { title: deep } }, ['/task/title', 'type']],
  [{ op: 'create', task: { title: 'x', id: 'x' } }, ['/task/id', 'format']],
  [{ op: 'create', task: { title: 'x', id: null } }, ['/task/id', 'type']],
  [{ op: 'create', task: { title: 'x', completed: 'true' } }, ['/task/completed', 'type']],
  [{ op: 'create', task: { title: 'x', description: 7 } }, ['/task/description', 'type']],
  [{ op: 'create', task: { title: 'x', version: 1 } }, ['/task/version', 'additionalProperties']],
  [{ op: 'create', task: { title: 'x' }, id }, ['/id', 'additionalProperties']],
  [{ op: 'create', task: { title: 'x' }, if_version: 1 }, ['/if_version', 'additionalProperties']],
  [{ op: 'create', title: 'x' }, ['/task', 'required'], ['/title', 'additionalProperties']],
  [{ op: 'update' }, ['/id', 'required'], ['/changes', 'required']],
  [{ op: 'update', id }, ['/changes', 'required']],
  [{ op: 'update', id, changes: null }, ['/changes', 'type']],
  [{ op: 'update', id, changes: [] }, ['/changes', 'type']],
  [{ op: 'update', id, changes: { title: null } }, ['/changes/title', 'type']],
  [{ op: 'update', id, changes: { completed: 'toggle' } }, ['/changes/completed', 'type']],
  [{ op: 'update', id, changes: { id } }, ['/changes/id', 'additionalProperties']],
  [{ op: 'update', id, title: 'x' }, ['/changes', 'required'], ['/title', 'additionalProperties']],
  [{ op: 'update', id: '', changes: {} }, ['/id', 'format']],
  [{ op: 'update', id: [id], changes: {} }, ['/id', 'type']],
  [{ op: 'update', id, changes: {}, if_version: '1' }, ['/if_version', 'type']],
  [{ op: 'update', id, changes: {}, if_version: null }, ['/if_version', 'type']],
  [{ op: 'update', id, changes: {}, if_version: 1.5 }, ['/if_version', 'type']],
  [{ op: 'update', id, changes: {}, if_version: 0 }, ['/if_version', 'minimum']],
  [{ op: 'update', id, changes: {}, if_version: -1 }, ['/if_version', 'minimum']],
  [{ op: 'update', id, changes: {}, if_version: 2 ** 53 }, ['/if_version', 'maximum']],
  [{ op: 'update', id, changes: {}, if_version: 1e300 }, ['/if_version', 'maximum']],
  [{ op: 'update', id, changes: {}, if_match: '"1"' }, ['/if_match', 'additionalProperties']],
  [{ op: 'delete' }, ['/id', 'required']],
  [{ op: 'delete', id: 'x' }, ['/id', 'format']],
  [{ op: 'delete', id: `${id} ` }, ['/id', 'format']],
  [{ op: 'delete', id, changes: {} }, ['/changes', 'additionalProperties']],
  [{ op: 'delete', id, if_version: [1] }, ['/if_version', 'type']],
  [
    JSON.parse('{"op":"delete","id":"x","__proto__":{}}'),
    ['/id', 'format'],
    ['/__proto__', 'additionalProperties'],
  ],
]
test('each invalid operation is 422 with all its problems: in its item, or for the whole batch', async () => {
  const user = service.as(newUser())
  for (const [operation, ...problems] of badOperations) {
    const at = problems.map(([where, code]) => [`/operations/1${where}`, code] as const)
    const operations = [{ op: 'delete', id }, operation]
    const whole = await user.post(path, { operations })
    assertError(whole, 422, 'VALIDATION_FAILED', at)
    for (const detail of whole.body.error.details) assert.equal(detail.index, 1)
    const items = assertBatch(await user.post(path, { mode: 'independent', operations }))
    const found = at.map(([where, code]) => `${where} ${code}`).sort()
    assert.deepEqual(outcomesOf(items), [
      [404, 'TASK_NOT_FOUND'],
      [422, 'VALIDATION_FAILED', ...found],
    ])
  }
  await assertNothingWritten(user)
})

test('atomic: the problems of all operations are reported at once, and at most 100', async () => {
  const user = service.as(newUser())
  assertError(
    await user.post(path, { operations: [{ op: 'create', task: {} }, create, null, { op: 'delete' }] }),
    422,
    'VALIDATION_FAILED',
    [
      ['/operations/0/task/title', 'required'],
      ['/operations/2', 'type'],
      ['/operations/3/id', 'required'],
    ],
  )
  const unknown = Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`field_${at}`, 1]))
  const many = { op: 'create', task: { title: 'x', ...unknown } }
  for (const operations of [[many], Array(100).fill(many)]) {
    const answer = await user.post(path, { operations })
    assert.equal(answer.status, 422)
    assert.equal(answer.body.error.details.length, 100)
    const items = assertBatch(await user.post(path, { mode: 'independent', operations }))
    for (const item of items) assert.equal(item.error?.details.length, 100)
  }
  await assertNothingWritten(user)
})

test('titles are taken, trimmed and refused as in a single create', async () => {
  const user = service.as(newUser())
  const good = assertBatch(
    await user.post(path, { operations: goodTitles.map(([title]) => ({ op: 'create', task: { title } })) }),
  )
  assert.deepEqual(
    good.map(({ task }) => task?.title),
    goodTitles.map(([, stored]) => stored),
  )
  const bad = assertBatch(
    await user.post(path, {
      mode: 'independent',
      operations: badTitles.map(([title]) => ({
        op: 'update',
        id: good[0]?.task?.id,
        changes: { title },
      })),
    }),
  )
  assert.deepEqual(
    outcomesOf(bad),
    badTitles.map(([, code], at) => [422, 'VALIDATION_FAILED', `/operations/${at}/changes/title ${code}`]),
  )
})

test('a body of 1 MiB is taken, and one byte more is refused as a whole', async () => {
  const user = service.as(newUser())
  const operations = Array.from({ length: 100 }, () => ({
    op: 'create',
    task: { title: 'x', description: 'd'.repeat(9_900) },
  }))
  const body = JSON.stringify({ mode: 'independent', operations })
  const headers = { 'content-type': 'application/json' }
  const sized = (bytes: number) =>
    user.request('POST', path, { raw: body + ' '.repeat(bytes - body.length), headers })
  assertError(await sized(1_048_577), 413, 'BODY_TOO_LARGE')
  assert.equal(assertBatch(await sized(1_048_576)).length, 100)
})

test('what is no JSON, or no body, is refused as everywhere', async () => {
  const user = service.as(newUser())
  const headers = { 'content-type': 'application/json' }
  assertError(await user.request('POST', path, { raw: '{"operations":', headers }), 400, 'INVALID_JSON', [
    ['', 'json'],
  ])
  assertError(await user.post(path), 422, 'VALIDATION_FAILED', [['', 'type']])
  assertError(
    await user.request('POST', path, { raw: '{}', headers: { 'content-type': 'application/x-ndjson' } }),
    415,
    'UNSUPPORTED_MEDIA_TYPE',
  )
  await assertNothingWritten(user)
})

test('a mebibyte of nested garbage, or of unknown fields, is refused and hurts nobody', async () => {
  const user = service.as(newUser())
  const headers = { 'content-type': 'application/json' }
  const fields = Array.from({ length: 90_000 }, (_, at) => `"f${at}":0`).join()
  const depth = 500_000
  for (const garbage of [`${'['.repeat(depth)}${']'.repeat(depth)}`, `{"op":"create",${fields}}`]) {
    for (const mode of ['atomic', 'independent']) {
      const raw = `{"mode":"${mode}","operations":[${garbage}]}`
      const { status } = await user.request('POST', path, { raw, headers })
      assert.ok(status === 422 || (status === 200 && mode === 'independent') || status === 400, `${status}`)
    }
  }
  await assertNothingWritten(user)
})
