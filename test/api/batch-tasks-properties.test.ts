import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Task } from '../../src/tasks/task.ts'
import { assertBatch, assertPage, type BatchItem } from '../support/answers.ts'
import { type Answer, type Client, newUser, startApp } from '../support/app.ts'

// A batch against the same operations sent one by one by another user with the same tasks.

const service = await startApp()

type Operation =
  | { readonly op: 'create'; readonly task: Record<string, unknown> }
  | {
      readonly op: 'update'
      readonly id: string
      readonly changes: Record<string, unknown>
      readonly if_version?: number
    }
  | { readonly op: 'delete'; readonly id: string; readonly if_version?: number }

// Few values, so that operations meet the same tasks, and name what is stored already.
const ids = [
  '0190d3c4-5d6e-7f80-9a1b-2c3d4e5f6071',
  '4190d3c4-5d6e-4f80-9a1b-2c3d4e5f6071',
  'c190d3c4-5d6e-4f80-9a1b-2c3d4e5f6071',
  'F190D3C4-5D6E-4F80-9A1B-2C3D4E5F6071',
]
const id = fc.constantFrom(...ids)
const rarely = <T>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<T>, weight = 12) =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: other })
const title = rarely(fc.constantFrom('One', 'Two', ' Two '), fc.constant(''))
const description = rarely<unknown>(fc.constantFrom(null, '', 'Text'), fc.constant(7))
const fields = { title, description, completed: fc.boolean() }
const condition = rarely(fc.constant(undefined), fc.integer({ min: 1, max: 8 }), 4)

/** Without members that are undefined, as JSON has none. */
function defined<T extends object>(value: T): T {
  return JSON.parse(JSON.stringify(value))
}

const operation: fc.Arbitrary<Operation> = fc
  .oneof(
    fc.record({
      op: fc.constant('create' as const),
      task: fc.record(
        { ...fields, id: fc.option(id, { nil: undefined, freq: 4 }) },
        { requiredKeys: ['title'] },
      ),
    }),
    fc.record({
      op: fc.constant('update' as const),
      id,
      changes: fc.record(fields, { requiredKeys: [] }),
      if_version: condition,
    }),
    fc.record({ op: fc.constant('delete' as const), id, if_version: condition }),
  )
  .map((each) => defined(each) as Operation)

function sendSingle(user: Client, each: Operation): Promise<Answer> {
  if (each.op === 'create') return user.post('/api/me/tasks', each.task)
  const headers: Record<string, string> =
    each.if_version === undefined ? {} : { 'if-match': `"${each.if_version}"` }
  const path = `/api/me/tasks/${each.id}`
  return each.op === 'update' ? user.patch(path, each.changes, headers) : user.delete(path, headers)
}

/** A task but for its owner and times, and its id where the service made it. */
function comparable(task: Task | undefined): unknown {
  if (task === undefined) return undefined
  const { id, title, description, completed, completed_at, created_at, updated_at, version } = task
  const own = ids.some((each) => each.toLowerCase() === id) ? id : 'new'
  const times = [completed_at !== null, completed_at === created_at, updated_at === created_at]
  return [own, title, description, completed, version, ...times]
}

type Shown = { readonly error?: BatchItem['error']; readonly task?: Task }

function outcomeOf(status: number, { error, task }: Shown): unknown {
  // Paths differ: a batch's lead to the operation in it.
  const problems = error?.details.map(({ path, code, current, message }) => [
    path.replace(/^\/operations\/\d+\/(task|changes|if_version)/, '').replace('headers/if-match', ''),
    code,
    message,
    comparable(current as Task | undefined),
  ])
  return [status, error?.code, error?.message, problems, comparable(task)]
}

async function stateOf(user: Client): Promise<unknown> {
  const { tasks } = assertPage(await user.get('/api/me/tasks?limit=500'))
  const [counter] = await service.testDatabase.query<{ version: string }>(
    'select version from app.change_counters where user_id = $1',
    [user.userId],
  )
  const trash = await service.testDatabase.query<{ version: string }>(
    'select version from app.tasks where user_id = $1 and deleted_at is not null order by version',
    [user.userId],
  )
  // Creates that follow each other in a batch have one created_at, so that the list may order them in another way.
  const byVersion = tasks.toSorted((a, b) => a.version - b.version)
  return [byVersion.map(comparable), Number(counter?.version ?? 0), trash]
}

test('a batch comes to what its operations come to one by one, and an atomic one to all of it or nothing', async (t) => {
  const seen = { operations: 0, failed: 0, atomic: 0, rolledBack: 0 }
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 12 }),
      fc.array(operation, { minLength: 1, maxLength: 12 }),
      async (first, operations) => {
        const [single, independent, atomic] = [newUser(), newUser(), newUser()].map(service.as)
        assert.ok(single && independent && atomic)
        for (const each of first)
          await Promise.all([single, independent, atomic].map((user) => sendSingle(user, each)))
        const before = await stateOf(atomic)
        const expected: unknown[] = []
        const statuses: number[] = []
        for (const each of operations) {
          const { status, body } = await sendSingle(single, each)
          expected.push(outcomeOf(status, { error: body.error, task: body.data }))
          statuses.push(status)
        }
        const path = '/api/me/tasks/batch'
        const items = assertBatch(await independent.post(path, { mode: 'independent', operations }))
        assert.deepEqual(
          items.map((item) => outcomeOf(item.status, item)),
          expected,
        )
        assert.deepEqual(await stateOf(independent), await stateOf(single))
        const whole = await atomic.post(path, { mode: 'atomic', operations })
        // An invalid operation is found before any is made.
        const invalid = statuses.indexOf(422)
        const failed = invalid >= 0 ? invalid : statuses.findIndex((status) => status >= 300)
        const isMade = (_: unknown, at: number) => (statuses[at] ?? 500) < 300
        seen.operations += operations.length
        seen.failed += statuses.filter((status) => status >= 300).length
        if (failed >= 0) {
          seen.rolledBack++
          assert.equal(whole.status, statuses[failed], whole.text)
          assert.equal(whole.body.error.details[0].index, failed)
          assert.deepEqual(await stateOf(atomic), before)
        }
        const good = operations.filter(isMade)
        if (good.length === 0) return
        // What failed left no trace, so that the others alone come to the same.
        const rest = failed < 0 ? whole : await atomic.post(path, { mode: 'atomic', operations: good })
        seen.atomic++
        assert.deepEqual(
          assertBatch(rest).map((item) => outcomeOf(item.status, item)),
          expected.filter(isMade),
        )
        assert.deepEqual(await stateOf(atomic), await stateOf(single))
      },
    ),
    { numRuns: 80 },
  )
  t.diagnostic(`batches: ${JSON.stringify(seen)}`)
  assert.ok(seen.atomic > 0 && seen.rolledBack > 0)
})
