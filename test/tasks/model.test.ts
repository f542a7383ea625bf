import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Task } from '../../src/tasks/task.ts'
import { assertError, assertPage, assertTask } from '../support/answers.ts'
import { type Answer, type Client, newUser, startApp } from '../support/app.ts'

const service = await startApp()

type Fields = { readonly title?: string; readonly description?: string | null; readonly completed?: boolean }

/** Which If-Match an operation sends: none, one that holds, or one that does not. */
type Condition = 'none' | 'any' | 'present' | 'stale'

type Operation =
  | {
      readonly kind: 'create'
      readonly fields: Fields & { readonly title: string }
      readonly withId: boolean
    }
  | { readonly kind: 'repeat'; readonly at: number }
  | {
      readonly kind: 'PUT' | 'PATCH'
      readonly at: number
      readonly fields: Fields
      readonly condition: Condition
    }
  | {
      readonly kind: 'complete'
      readonly at: number
      readonly to: boolean | 'toggle'
      readonly condition: Condition
    }
  | { readonly kind: 'delete'; readonly at: number; readonly condition: Condition }

// Few values, so that many changes name what is stored already.
const title = fc.constantFrom('One', 'Two', ' Two ')
const description = fc.constantFrom(null, '', 'Text', ' Text ')
const fields = fc.record({ title, description, completed: fc.boolean() }, { requiredKeys: [] })
const at = fc.nat({ max: 30 })
const condition = fc.constantFrom<Condition>('none', 'none', 'any', 'present', 'stale')

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    kind: fc.constant('create' as const),
    fields: fc.record({ title, description, completed: fc.boolean() }, { requiredKeys: ['title'] }),
    withId: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('repeat' as const), at }),
  fc.record({ kind: fc.constantFrom('PUT' as const, 'PATCH' as const), at, fields, condition }),
  fc.record({ kind: fc.constantFrom('PUT' as const, 'PATCH' as const), at, fields, condition }),
  fc.record({
    kind: fc.constant('complete' as const),
    at,
    to: fc.constantFrom<boolean | 'toggle'>(true, false, 'toggle'),
    condition,
  }),
  fc.record({ kind: fc.constant('delete' as const), at, condition }),
)

/** What the service must hold for one user. */
type Model = { readonly tasks: Map<string, Task>; counter: number }

/** The answer must show this task, and no time of it that the change does not concern may be another. */
function assertShows(answer: Answer, status: number, expected: Task, isChanged: boolean): Task {
  const task = assertTask(answer, status)
  assert.deepEqual(task, {
    ...expected,
    updated_at: isChanged ? task.updated_at : expected.updated_at,
    completed_at: expected.completed_at === 'now' ? task.updated_at : expected.completed_at,
  })
  return task
}

async function create(
  user: Client,
  model: Model,
  body: Fields & { title: string },
  id?: string,
): Promise<void> {
  const answer = await user.post('/api/me/tasks', { ...body, ...(id !== undefined && { id }) })
  const task = assertTask(answer, 201)
  model.counter++
  assert.deepEqual(task, {
    id: id ?? task.id,
    user_id: user.userId,
    title: body.title.trim(),
    description: body.description ?? null,
    completed: body.completed ?? false,
    completed_at: body.completed ? task.created_at : null,
    created_at: task.created_at,
    updated_at: task.created_at,
    version: model.counter,
  })
  model.tasks.set(task.id, task)
}

async function repeat(user: Client, { tasks }: Model, task: Task | undefined): Promise<void> {
  if (task === undefined) return
  const { id, title, description, completed } = task
  const same = await user.post('/api/me/tasks', { id, title, description, completed })
  assertShows(same, 200, task, false)
  assertError(
    await user.post('/api/me/tasks', { id, title, description, completed: !completed }),
    409,
    'TASK_EXISTS',
  )
  assert.equal(tasks.get(id), task)
}

function headersFor(condition: Condition, version: number): Record<string, string> {
  if (condition === 'none') return {}
  if (condition === 'any') return { 'if-match': '*' }
  return { 'if-match': condition === 'present' ? `"${version}"` : `"${version + 1}", W/"${version}"` }
}

async function change(
  model: Model,
  task: Task | undefined,
  condition: Condition,
  wanted: Fields,
  send: (path: string, headers: Record<string, string>) => Promise<Answer>,
): Promise<void> {
  const path = `/api/me/tasks/${task?.id ?? randomUUID()}`
  const answer = await send(path, headersFor(condition, task?.version ?? 1))
  if (task === undefined) return assertError(answer, 404, 'TASK_NOT_FOUND')
  if (condition === 'stale') return assertMismatch(answer, task)
  const { title = task.title, description = task.description, completed = task.completed } = wanted
  const after = { ...task, title: title.trim(), description, completed }
  const isChanged = JSON.stringify(after) !== JSON.stringify(task)
  if (isChanged) {
    after.version = ++model.counter
    if (!completed) after.completed_at = null
    else if (!task.completed) after.completed_at = 'now'
  }
  model.tasks.set(task.id, assertShows(answer, 200, after, isChanged))
}

async function remove(
  user: Client,
  model: Model,
  task: Task | undefined,
  condition: Condition,
): Promise<void> {
  const path = `/api/me/tasks/${task?.id ?? randomUUID()}`
  const answer = await user.delete(path, headersFor(condition, task?.version ?? 1))
  if (task === undefined) return assertError(answer, 404, 'TASK_NOT_FOUND')
  if (condition === 'stale') return assertMismatch(answer, task)
  assertShows(answer, 200, task, false)
  model.counter++
  model.tasks.delete(task.id)
}

function assertMismatch(answer: Answer, task: Task): void {
  assertError(answer, 412, 'PRECONDITION_FAILED', [['headers/if-match', 'mismatch']])
  assert.deepEqual(answer.body.error.details[0].current, task)
}

async function apply(user: Client, model: Model, each: Operation): Promise<void> {
  if (each.kind === 'create') return create(user, model, each.fields, each.withId ? randomUUID() : undefined)
  const tasks = [...model.tasks.values()]
  // One place more than there are tasks: a task that does not exist.
  const task = tasks[each.at % (tasks.length + 1)]
  if (each.kind === 'repeat') return repeat(user, model, task)
  if (each.kind === 'delete') return remove(user, model, task, each.condition)
  if (each.kind === 'complete') {
    const to = each.to === 'toggle' ? !task?.completed : each.to
    const json = each.to === 'toggle' ? undefined : { completed: to }
    return change(model, task, each.condition, { completed: to }, (path, headers) =>
      user.patch(`${path}/complete`, json, headers),
    )
  }
  if (each.kind === 'PUT' && Object.keys(each.fields).length === 0) return
  return change(model, task, each.condition, each.fields, (path, headers) =>
    user.request(each.kind, path, { json: each.fields, headers }),
  )
}

test('any sequence of operations leaves what a simple model says: no field unasked, every version in its turn', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
      const user = service.as(newUser())
      const model: Model = { tasks: new Map(), counter: 0 }
      for (const each of operations) await apply(user, model, each)
      const { tasks } = assertPage(await user.get('/api/me/tasks?limit=500'))
      const byId = (a: Task, b: Task) => (a.id < b.id ? -1 : 1)
      assert.deepEqual(tasks.toSorted(byId), [...model.tasks.values()].sort(byId))
      const [counter] = await service.testDatabase.query<{ version: string }>(
        'select version from app.change_counters where user_id = $1',
        [user.userId],
      )
      assert.equal(Number(counter?.version ?? 0), model.counter)
    }),
    { numRuns: 80 },
  )
})

test('of writes that race, each change has a version of its own and no number is left out', async () => {
  const user = service.as(newUser())
  const own = Array.from({ length: 6 }, () => randomUUID())
  for (const id of own) assertTask(await user.post('/api/me/tasks', { id, title: 'Shared' }), 201)
  const versions = await Promise.all(
    Array.from({ length: 12 }, async (_, writer) => {
      const seen: number[] = []
      const record = (answer: Answer) => seen.push(assertTask(answer, answer.status).version)
      for (let n = 0; n < 6; n++) {
        const shared = own[(writer + n) % own.length]
        const created = await user.post('/api/me/tasks', { title: `${writer} ${n}` })
        record(created)
        record(await user.patch(`/api/me/tasks/${shared}`, { title: `${writer} ${n}` }))
        record(await user.patch(`/api/me/tasks/${shared}/complete`))
        // A delete takes a number too, which its answer does not show.
        if (n % 3 === 0) assertTask(await user.delete(`/api/me/tasks/${created.body.data.id}`), 200)
      }
      return seen
    }),
  )
  const all = versions.flat()
  const deletes = 12 * 2
  assert.equal(new Set(all).size, all.length)
  for (const seen of versions)
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
    )
  const next = assertTask(await user.post('/api/me/tasks', { title: 'Last' }), 201).version
  assert.equal(next, own.length + all.length + deletes + 1)
})
