import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'
import type { Task } from '../../src/tasks/task.ts'
import {
  assertBatch,
  assertError,
  assertPage,
  assertTask,
  outcomesOf,
  type Problem,
} from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp } from '../support/app.ts'

// Each way in which an operation fails, in the middle of others that succeed, in both modes.

const service = await startApp()
const path = '/api/me/tasks/batch'

/** What a user has: a task at version 3, one at version 2, and one in the trash. */
type Fixture = { readonly user: Client; readonly task: Task; readonly other: Task; readonly trashed: Task }

async function makeFixture(): Promise<Fixture> {
  const user = service.as(newUser())
  const first = await makeTask(user, { title: 'First' })
  const other = await makeTask(user, { title: 'Other' })
  const task = assertTask(await user.patch(`/api/me/tasks/${first.id}`, { title: 'Task' }), 200)
  const trashed = await makeTask(user, { title: 'Trashed' })
  assertTask(await user.delete(`/api/me/tasks/${trashed.id}`), 200)
  return { user, task, other, trashed }
}

type Failure = {
  readonly operation: (fixture: Fixture) => unknown
  readonly status: number
  readonly code: ErrorCode
  /** The problems of its item, with paths below its own. */
  readonly problems: readonly Problem[]
  /** Whether the details hold the present task. */
  readonly showsCurrent?: boolean
}

const notFound = { status: 404, code: 'TASK_NOT_FOUND', problems: [] } as const
const exists = { status: 409, code: 'TASK_EXISTS', problems: [] } as const
const mismatch = {
  status: 412,
  code: 'PRECONDITION_FAILED',
  problems: [['/if_version', 'mismatch']],
  showsCurrent: true,
} as const

const failures: Readonly<Record<string, Failure>> = {
  'a create with an id that has other content': {
    operation: ({ task }) => ({ op: 'create', task: { id: task.id, title: 'First' } }),
    ...exists,
  },
  'a create with an id that is in the trash': {
    operation: ({ trashed }) => ({ op: 'create', task: { id: trashed.id, title: trashed.title } }),
    ...exists,
  },
  'an update of no task': {
    operation: () => ({ op: 'update', id: randomUUID(), changes: { title: 'x' } }),
    ...notFound,
  },
  'an update of no task at a version': {
    operation: () => ({ op: 'update', id: randomUUID(), changes: {}, if_version: 1 }),
    ...notFound,
  },
  'an update of a task in the trash': {
    operation: ({ trashed }) => ({ op: 'update', id: trashed.id, changes: { title: 'x' } }),
    ...notFound,
  },
  'an update at an older version': {
    operation: ({ task }) => ({ op: 'update', id: task.id, changes: { title: 'x' }, if_version: 1 }),
    ...mismatch,
  },
  'an update at a later version': {
    operation: ({ task }) => ({
      op: 'update',
      id: task.id,
      changes: { title: 'x' },
      if_version: Number.MAX_SAFE_INTEGER,
    }),
    ...mismatch,
  },
  'an update at another version that would change nothing': {
    operation: ({ task }) => ({ op: 'update', id: task.id, changes: {}, if_version: 4 }),
    ...mismatch,
  },
  'a deletion of no task': { operation: () => ({ op: 'delete', id: randomUUID() }), ...notFound },
  'a deletion of a task in the trash': {
    operation: ({ trashed }) => ({ op: 'delete', id: trashed.id }),
    ...notFound,
  },
  'a deletion at another version': {
    operation: ({ task }) => ({ op: 'delete', id: task.id, if_version: 2 }),
    ...mismatch,
  },
  'an invalid operation': {
    operation: ({ task }) => ({ op: 'update', id: task.id, changes: { title: ' ' } }),
    status: 422,
    code: 'VALIDATION_FAILED',
    problems: [['/changes/title', 'minLength']],
  },
}

const before = { op: 'create', task: { title: 'Before' } }
const after = (id: string) => ({ op: 'update', id, changes: { description: 'After' } })

async function stateOf(user: Client): Promise<unknown> {
  const list = await user.get('/api/me/tasks')
  const rows = await service.testDatabase.query(
    `select t::text from app.tasks t where user_id = $1
     union all select c::text from app.change_counters c where user_id = $1 order by 1`,
    [user.userId],
  )
  return [assertPage(list).tasks, list.headers.get('etag'), rows]
}

for (const [name, { operation, status, code, problems, showsCurrent = false }] of Object.entries(failures)) {
  test(`atomic: ${name} is the answer, and nothing is written`, async () => {
    const fixture = await makeFixture()
    const { user, other, task } = fixture
    const state = await stateOf(user)
    const answer: Answer = await user.post(path, {
      operations: [before, operation(fixture), after(other.id), { op: 'delete', id: other.id }],
    })
    const isInvalid = code === 'VALIDATION_FAILED'
    const own = isInvalid
      ? problems.map(([at, what]) => [`/operations/1${at}`, what] as const)
      : [['/operations/1', problems[0]?.[1] ?? 'failed'] as const]
    assertError(answer, status, code, own)
    for (const detail of answer.body.error.details) assert.equal(detail.index, 1)
    if (showsCurrent) assert.deepEqual(answer.body.error.details[0].current, task)
    else assert.ok(!answer.text.includes('current'))
    assert.equal(answer.headers.get('etag'), showsCurrent ? `"${task.version}"` : null)
    assert.deepEqual(await stateOf(user), state)
    assert.equal((await makeTask(user)).version, 6)
  })

  test(`independent: ${name} fails by itself, and the others are made`, async () => {
    const fixture = await makeFixture()
    const { user, other, task } = fixture
    const items = assertBatch(
      await user.post(path, {
        mode: 'independent',
        operations: [before, operation(fixture), after(other.id), before],
      }),
    )
    const own = problems.map(([at, what]) => `/operations/1${at} ${what}`)
    assert.deepEqual(outcomesOf(items), [[201], [status, code, ...own], [200], [201]])
    if (showsCurrent) assert.deepEqual(items[1]?.error?.details[0]?.current, task)
    else assert.ok(!JSON.stringify(items[1]).includes('current'))
    assert.deepEqual(
      items.map((item) => item.task?.version),
      [6, undefined, 7, 8],
    )
    const { tasks } = assertPage(await user.get('/api/me/tasks'))
    assert.deepEqual(tasks, [items[3]?.task, items[0]?.task, items[2]?.task, task])
  })
}

test('atomic: of several failures the answer is the first, in the order of the operations', async () => {
  const { user, task, other } = await makeFixture()
  const gone = { op: 'delete', id: randomUUID() }
  const stale = { op: 'delete', id: task.id, if_version: 1 }
  const first = await user.post(path, { operations: [before, stale, gone] })
  assertError(first, 412, 'PRECONDITION_FAILED', [['/operations/1', 'mismatch']])
  const second = await user.post(path, { operations: [gone, stale, before] })
  assertError(second, 404, 'TASK_NOT_FOUND', [['/operations/0', 'failed']])
  const twice = await user.post(path, {
    operations: [
      { op: 'delete', id: other.id },
      { op: 'update', id: other.id, changes: {} },
    ],
  })
  assertError(twice, 404, 'TASK_NOT_FOUND', [['/operations/1', 'failed']])
  assertTask(await user.get(`/api/me/tasks/${other.id}`), 200, other)
})

test('atomic: 412 shows the task as it is, and not as the batch would have left it', async () => {
  const { user, task } = await makeFixture()
  const stale = { op: 'update', id: task.id, changes: { title: 'x' }, if_version: 3 }
  const answer = await user.post(path, {
    operations: [{ op: 'update', id: task.id, changes: { title: 'In the batch' } }, stale],
  })
  assertError(answer, 412, 'PRECONDITION_FAILED', [['/operations/1', 'mismatch']])
  assert.deepEqual(answer.body.error.details[0].current, task)
  assert.equal(answer.headers.get('etag'), '"3"')
  const id = randomUUID()
  const made = await user.post(path, {
    operations: [
      { op: 'create', task: { id, title: 'x' } },
      { op: 'delete', id, if_version: 3 },
    ],
  })
  assertError(made, 412, 'PRECONDITION_FAILED', [['/operations/1', 'failed']])
  assert.equal(made.headers.get('etag'), null)
})

test('independent: an operation that relies on one that failed fails too', async () => {
  const { user, trashed } = await makeFixture()
  const id = randomUUID()
  const items = assertBatch(
    await user.post(path, {
      mode: 'independent',
      operations: [
        { op: 'create', task: { id, title: '' } },
        { op: 'update', id, changes: { title: 'x' } },
        { op: 'create', task: { id, title: 'One' } },
        { op: 'create', task: { id, title: 'Two' } },
        { op: 'delete', id },
        { op: 'create', task: { id, title: 'One' } },
        { op: 'create', task: { id: trashed.id, title: 'One' } },
        { op: 'delete', id },
      ],
    }),
  )
  assert.deepEqual(outcomesOf(items), [
    [422, 'VALIDATION_FAILED', '/operations/0/task/title minLength'],
    [404, 'TASK_NOT_FOUND'],
    [201],
    [409, 'TASK_EXISTS'],
    [200],
    [409, 'TASK_EXISTS'],
    [409, 'TASK_EXISTS'],
    [404, 'TASK_NOT_FOUND'],
  ])
})

test('independent: a batch in which all fail is 200, and writes nothing', async () => {
  const { user } = await makeFixture()
  const state = await stateOf(user)
  const operations = [
    null,
    { op: 'delete', id: randomUUID() },
    { op: 'update', id: randomUUID(), changes: {} },
  ]
  const items = assertBatch(await user.post(path, { mode: 'independent', operations }))
  assert.deepEqual(
    items.map(({ status }) => status),
    [422, 404, 404],
  )
  assert.deepEqual(await stateOf(user), state)
})

test("another user's ids behave as if they never existed, in each kind of item and both modes", async () => {
  const [victim, user] = [service.as(newUser()), service.as(newUser())]
  const task = await makeTask(victim, { title: 'Secret', description: 'Text' })
  const operations = [
    { op: 'create', task: { id: task.id, title: 'Mine' } },
    { op: 'delete', id: task.id },
    { op: 'update', id: task.id, changes: { title: 'x' } },
  ]
  const state = await stateOf(victim)
  for (const operation of operations.slice(1)) {
    const versioned = { ...operation, if_version: 1 }
    for (const each of [operation, versioned]) {
      assertError(await user.post(path, { operations: [each] }), 404, 'TASK_NOT_FOUND', [
        ['/operations/0', 'failed'],
      ])
      const items = assertBatch(await user.post(path, { mode: 'independent', operations: [each] }))
      assert.deepEqual(outcomesOf(items), [[404, 'TASK_NOT_FOUND']])
    }
  }
  const items = assertBatch(await user.post(path, { mode: 'independent', operations }))
  assert.deepEqual(outcomesOf(items), [[201], [200], [404, 'TASK_NOT_FOUND']])
  assert.deepEqual(
    items.slice(0, 2).map((item) => [item.task?.user_id, item.task?.title, item.task?.version]),
    [
      [user.userId, 'Mine', 1],
      [user.userId, 'Mine', 1],
    ],
  )
  assert.deepEqual(await stateOf(victim), state)
})
