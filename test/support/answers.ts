import assert from 'node:assert/strict'
import type { ErrorCode } from '../../src/errors.ts'
import type { Task, TrashedTask } from '../../src/tasks/task.ts'
import type { Answer, LogLine, TestService } from './app.ts'

export const timeForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
export const uuidV7Form = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const taskFields = [
  'completed',
  'completed_at',
  'created_at',
  'description',
  'id',
  'title',
  'updated_at',
  'user_id',
  'version',
]

const trashedTaskFields = [...taskFields, 'deleted_at'].sort()

/** Where a problem is and what it is: the path and code of one entry of `details`. */
export type Problem = readonly [path: string, code: string]

/** Checks an error's status and whole envelope; `problems` in any order, and none when left out. */
export function assertError(
  answer: Answer,
  status: number,
  code: ErrorCode,
  problems: readonly Problem[] = [],
): void {
  assert.equal(answer.status, status, answer.text)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json; charset=utf-8$/)
  const { error, meta, ...rest } = answer.body
  assert.deepEqual(rest, { status: 'error' })
  const { message, details, ...others } = error
  assert.deepEqual(others, { code })
  assertText(message)
  const found = details.map((each: { path: string; code: string }) => [each.path, each.code])
  assert.deepEqual(found.sort(), problems.map((each) => [...each]).sort())
  for (const each of details) assertText(each.message)
  assertMeta(answer, meta)
}

/** Checks an answer that holds one task, its envelope and headers, and those fields of the task that are given. */
export function assertTask(answer: Answer, status: number, fields: Partial<Task> = {}): Task {
  return assertOneTask(answer, status, taskFields, fields)
}

/** The same for a task in the trash. */
export function assertTrashedTask(
  answer: Answer,
  status: number,
  fields: Partial<TrashedTask> = {},
): TrashedTask {
  const task = assertOneTask<TrashedTask>(answer, status, trashedTaskFields, fields)
  assert.match(task.deleted_at, timeForm)
  return task
}

function assertOneTask<T extends Task>(
  answer: Answer,
  status: number,
  names: readonly string[],
  fields: Partial<T>,
): T {
  assert.equal(answer.status, status, answer.text)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json; charset=utf-8$/)
  assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
  const { data, meta, ...rest } = answer.body
  assert.deepEqual(rest, { status: 'success' })
  assert.deepEqual(Object.keys(data).sort(), names)
  assert.match(data.created_at, timeForm)
  assert.match(data.updated_at, timeForm)
  assert.equal(data.completed, data.completed_at !== null)
  if (data.completed) assert.match(data.completed_at, timeForm)
  assert.equal(answer.headers.get('etag'), `"${data.version}"`)
  assertMeta(answer, meta)
  assert.deepEqual({ ...data, ...fields }, data)
  return data
}

/** What became of one operation of a batch: a task, or an error as in the envelope. */
export type BatchItem = {
  readonly index: number
  readonly status: number
  readonly task?: Task
  readonly error?: {
    readonly code: ErrorCode
    readonly message: string
    readonly details: readonly (Record<string, unknown> & { readonly path: string; readonly code: string })[]
  }
}

/** Checks the answer to a batch that was not refused as a whole, and the form of each item, and returns the items. */
export function assertBatch(answer: Answer): BatchItem[] {
  assert.equal(answer.status, 200, answer.text)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json; charset=utf-8$/)
  assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
  const { data, meta, ...rest } = answer.body
  assert.deepEqual(rest, { status: 'success' })
  assertMeta(answer, meta)
  assert.ok(Array.isArray(data))
  for (const [place, item] of data.entries()) {
    assert.equal(item.index, place)
    if (item.status < 300) {
      assert.deepEqual(Object.keys(item), ['index', 'status', 'task'])
      assert.deepEqual(Object.keys(item.task).sort(), taskFields)
    } else {
      assert.deepEqual(Object.keys(item), ['index', 'status', 'error'])
      assert.deepEqual(Object.keys(item.error), ['code', 'message', 'details'])
      assertText(item.error.message)
      for (const detail of item.error.details) assertText(detail.message)
    }
  }
  return data
}

/** Each item as its status and, of a failed one, its code and problems. */
export function outcomesOf(items: readonly BatchItem[]): unknown[][] {
  return items.map(({ status, error }) =>
    error === undefined
      ? [status]
      : [status, error.code, ...error.details.map(({ path, code }) => `${path} ${code}`).sort()],
  )
}

/** What a page of a list holds; `total` where it was asked for. */
export type Page<T = Task> = {
  readonly tasks: T[]
  readonly next: string | null
  readonly total?: number
}

export const listEtagForm = /^W\/"(\d+)\.[\w-]{8}"$/

/** Checks a page of a list, its envelope and its headers, and returns the tasks. */
export function assertPage(answer: Answer): Page {
  return assertPageOf(answer, taskFields)
}

/** The same for a page of the trash. */
export function assertTrashPage(answer: Answer): Page<TrashedTask> {
  return assertPageOf(answer, trashedTaskFields)
}

function assertPageOf<T>(answer: Answer, names: readonly string[]): Page<T> {
  assert.equal(answer.status, 200, answer.text)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json; charset=utf-8$/)
  assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
  const { data, meta, ...rest } = answer.body
  assert.deepEqual(rest, { status: 'success' })
  assert.ok(Array.isArray(data))
  for (const task of data) assert.deepEqual(Object.keys(task).sort(), names)
  assert.match(answer.headers.get('etag') ?? '', listEtagForm)
  const { next_cursor: next, total, ...others } = meta
  assertMeta(answer, others)
  if ('total' in meta) assert.ok(Number.isSafeInteger(total) && total >= data.length, `${total}`)
  assert.ok(next === null || (typeof next === 'string' && next !== ''))
  assert.equal(answer.headers.get('link') === null, next === null)
  return { tasks: data, next, ...('total' in meta && { total }) }
}

/** The lines that the log has of a request, once the one that ends it is there. */
export async function logLinesOf(service: TestService, requestId: string | null): Promise<LogLine[]> {
  const deadline = Date.now() + 5_000
  for (;;) {
    const lines = service.logs.filter((line) => line.request_id === requestId)
    if (lines.some(({ msg }) => msg === 'request' || msg === 'request unreadable')) return lines
    // The answer may be here before its line is written.
    if (Date.now() > deadline) throw new Error(`The log has no line of the request ${requestId}`)
    await new Promise(setImmediate)
  }
}

function assertMeta(answer: Answer, meta: Record<string, unknown>): void {
  assert.deepEqual(Object.keys(meta).sort(), ['request_id', 'timestamp'])
  assert.match(String(meta.timestamp), timeForm)
  assert.equal(answer.headers.get('x-request-id'), meta.request_id)
}

function assertText(value: unknown): void {
  assert.ok(typeof value === 'string' && value.length > 0)
}
