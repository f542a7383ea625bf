import type { UserScope } from '../db/database.ts'
import { AppError, type ErrorCode, type ErrorDetail } from '../errors.ts'
import { maxDetails } from '../http/validation.ts'
import { newId } from '../lib/ids.ts'
import { insertCall, makeChanges } from './batch-store.ts'
import {
  type CreateTaskInput,
  preconditionFailed,
  settleChange,
  settleCreate,
  toNewTask,
} from './commands.ts'
import { type Change, type ChangeCall, changeCall, findTask, removeCall } from './store.ts'
import type { NewTask, Task, TaskChanges } from './task.ts'

/** One operation of a batch, validated. */
export type BatchOperation =
  | { readonly op: 'create'; readonly task: CreateTaskInput }
  | {
      readonly op: 'update'
      readonly id: string
      readonly changes: TaskChanges
      readonly if_version?: number
    }
  | { readonly op: 'delete'; readonly id: string; readonly if_version?: number }

/** One place of a batch: an operation, or what is wrong with what is there. */
export type BatchEntry =
  | BatchOperation
  | { readonly op: 'invalid'; readonly problems: readonly ErrorDetail[] }

/** `atomic`: all or nothing. `independent`: each operation succeeds or fails by itself. */
export type BatchMode = 'atomic' | 'independent'

/** What became of the operation at a place: what the single operation would have answered. */
export type BatchItem =
  | { readonly index: number; readonly status: number; readonly task: Task }
  | {
      readonly index: number
      readonly status: number
      readonly error: {
        readonly code: ErrorCode
        readonly message: string
        readonly details: readonly ErrorDetail[]
      }
    }

/**
 * Runs the operations of a batch in their order, by the rules of the single operations.
 *
 * @returns what became of each, in their order
 * @throws AppError in atomic mode, where nothing is written then: VALIDATION_FAILED with the problems of all; else the
 *   error of the first operation that fails, with its place in details
 */
export async function runBatch(
  scope: UserScope,
  mode: BatchMode,
  entries: readonly BatchEntry[],
): Promise<BatchItem[]> {
  if (mode === 'independent') return (await perform(scope, entries)).map(toItem)
  const problems = entries.flatMap((entry, index) =>
    entry.op === 'invalid' ? entry.problems.map((each) => ({ ...each, index })) : [],
  )
  if (problems.length > 0) throw new AppError('VALIDATION_FAILED', { details: problems.slice(0, maxDetails) })
  try {
    return await scope.transaction(async (transaction) => {
      const outcomes = await perform(transaction, entries)
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome instanceof AppError) throw new FailedOperation(index, outcome)
      }
      return outcomes.map(toItem)
    })
  } catch (error) {
    throw error instanceof FailedOperation ? await failureOf(scope, entries, error) : error
  }
}

/** Ends the transaction of an atomic batch. */
class FailedOperation extends Error {
  readonly index: number
  readonly error: AppError

  constructor(index: number, error: AppError) {
    super()
    this.index = index
    this.error = error
  }
}

type Outcome = { readonly status: number; readonly task: Task } | AppError

async function perform(scope: UserScope, entries: readonly BatchEntry[]): Promise<Outcome[]> {
  const { calls, readers } = plan(entries)
  const made = await makeChanges(scope, calls)
  return readers.map((read) => {
    try {
      return read(made)
    } catch (error) {
      if (error instanceof AppError) return error
      throw error
    }
  })
}

/** Reads the outcome of one operation from the tasks that each statement met; throws the AppError of a failure. */
type Reader = (made: readonly (readonly Change[])[]) => Outcome

/** The statements of a batch: one for creates that follow each other, and one for each other operation. */
function plan(entries: readonly BatchEntry[]): { calls: ChangeCall[]; readers: Reader[] } {
  const steps: (NewTask[] | ChangeCall)[] = []
  // Ascending, so that tasks made in the same millisecond are listed in the order of their operations.
  const ids = entries.map(newId).sort()
  const readers = entries.map((entry, index): Reader => {
    if (entry.op === 'invalid') {
      return () => new AppError('VALIDATION_FAILED', { details: entry.problems })
    }
    if (entry.op === 'create') {
      const wanted = toNewTask({ id: ids[index] ?? newId(), ...entry.task })
      const at = addCreate(steps, wanted)
      return (made) => {
        const { created, task } = settleCreate(wanted, findChange(made[at], wanted.id))
        return { status: created ? 201 : 200, task }
      }
    }
    const { id, if_version: version } = entry
    const versions = version === undefined ? null : [version]
    const call = entry.op === 'update' ? changeCall(id, entry.changes, versions) : removeCall(id, versions)
    const at = steps.push(call) - 1
    return (made) => {
      return { status: 200, task: settleChange(made[at]?.[0], `/operations/${index}/if_version`) }
    }
  })
  return { calls: steps.map((step) => (Array.isArray(step) ? insertCall(step) : step)), readers }
}

/**
 * Adds a create to the statement of the creates right before it, unless that makes a task of the same id: one statement
 * makes a task once, and the next sees it.
 *
 * @returns the place of its statement
 */
function addCreate(steps: (NewTask[] | ChangeCall)[], wanted: NewTask): number {
  const last = steps.at(-1)
  if (Array.isArray(last) && last.every(({ id }) => id !== wanted.id)) {
    last.push(wanted)
    return steps.length - 1
  }
  return steps.push([wanted]) - 1
}

function findChange(changes: readonly Change[] = [], id: string): Change {
  const found = changes.find(({ task }) => task.id === id)
  if (found === undefined) throw new Error('The insert neither wrote nor found a task of the batch')
  return found
}

function toItem(outcome: Outcome, index: number): BatchItem {
  if (!(outcome instanceof AppError)) return { index, ...outcome }
  const { status, code, message, details } = outcome
  return { index, status, error: { code, message, details } }
}

/** The failure of a whole batch by that of one operation. */
async function failureOf(
  scope: UserScope,
  entries: readonly BatchEntry[],
  { index, error }: FailedOperation,
): Promise<AppError> {
  const { code, details, headers } = await asStored(scope, entries[index], error)
  const place = { path: `/operations/${index}`, index }
  const failed = { code: 'failed', message: 'is the operation that failed; nothing of the batch was written' }
  const own = details.length > 0 ? details : [failed]
  return new AppError(code, { headers, details: own.map((each) => ({ ...each, ...place })) })
}

/**
 * A mismatch that shows the task as it is, now that nothing of the batch was written: the operations before may have
 * changed it, to a version that another change takes next.
 */
async function asStored(scope: UserScope, entry: BatchEntry | undefined, error: AppError): Promise<AppError> {
  if (error.code !== 'PRECONDITION_FAILED' || entry === undefined || !('id' in entry)) return error
  const task = await findTask(scope, entry.id)
  return task === undefined ? new AppError(error.code) : preconditionFailed(task, '')
}
