import type { UserScope } from '../db/database.ts'
import { AppError } from '../errors.ts'
import { formatEtag } from '../http/etag.ts'
import { newId } from '../lib/ids.ts'
import { insertTasks } from './batch-store.ts'
import { type Change, changeTask, findTask, insertTask, lockChanges, removeTask } from './store.ts'
import { hasContent, type NewTask, type Task, type TaskChanges } from './task.ts'

/** A create as the client sends it, validated. */
export type CreateTaskInput = {
  readonly title: string
  readonly description?: string | null
  readonly completed?: boolean
  readonly id?: string
}

/** The task that an input asks for: its defaults filled in, its id in lower case or a new UUIDv7. */
export function toNewTask({ id, title, description, completed }: CreateTaskInput): NewTask {
  return {
    id: id?.toLowerCase() ?? newId(),
    title,
    description: description ?? null,
    completed: completed ?? false,
  }
}

export type CreatedTask = { readonly created: boolean; readonly task: Task }

/**
 * Creates a task. With an id that the user's tasks hold already, a repetition of the same content finds the stored
 * task and writes nothing.
 *
 * @throws AppError TASK_EXISTS when a task with this id has other content or is in the trash
 */
export async function createTask(scope: UserScope, input: CreateTaskInput): Promise<CreatedTask> {
  const wanted = toNewTask(input)
  return settleCreate(wanted, await insertTask(scope, wanted))
}

/**
 * What a create came to.
 *
 * @param wanted the task that was to be made
 * @throws AppError TASK_EXISTS when a task with this id has other content or is in the trash
 */
export function settleCreate(wanted: NewTask, { outcome, task }: Change): CreatedTask {
  if (outcome === 'changed') return { created: true, task }
  if (outcome === 'in_trash' || !hasContent(task, wanted)) throw new AppError('TASK_EXISTS')
  return { created: false, task }
}

/**
 * Creates many tasks of one user, all or none. The inputs must be valid, and their ids differ.
 *
 * @returns how many were created
 * @throws AppError TASK_EXISTS when one has an id that the user's tasks hold with other content
 */
export async function createTasks(scope: UserScope, inputs: readonly CreateTaskInput[]): Promise<number> {
  const wanted = new Map(inputs.map(toNewTask).map((each) => [each.id, each]))
  return scope.transaction(async (transaction) => {
    lockChanges(transaction)
    const changes = await insertTasks(transaction, [...wanted.values()])
    const settled = changes.map((each) => {
      const asked = wanted.get(each.task.id)
      if (asked === undefined) throw new Error('The insert returned a task that was not asked for')
      return settleCreate(asked, each)
    })
    return settled.filter(({ created }) => created).length
  })
}

/**
 * The user's task.
 *
 * @throws AppError TASK_NOT_FOUND, the same for a task that is another user's and one that does not exist
 */
export async function getTask(scope: UserScope, id: string): Promise<Task> {
  const task = await findTask(scope, id)
  if (task === undefined) throw new AppError('TASK_NOT_FOUND')
  return task
}

/**
 * Changes the named fields of a task. Values equal to the stored ones change nothing and keep the version.
 *
 * @param ifMatch versions that the client allows, or null for any
 * @throws AppError TASK_NOT_FOUND; PRECONDITION_FAILED with the task as it is
 */
export async function updateTask(
  scope: UserScope,
  id: string,
  changes: TaskChanges,
  ifMatch: readonly number[] | null,
): Promise<Task> {
  return settleChange(await changeTask(scope, id, changes, ifMatch))
}

/**
 * Moves a task to the trash and returns it as it was.
 *
 * @param ifMatch versions that the client allows, or null for any
 * @throws AppError TASK_NOT_FOUND; PRECONDITION_FAILED with the task as it is
 */
export async function deleteTask(
  scope: UserScope,
  id: string,
  ifMatch: readonly number[] | null,
): Promise<Task> {
  return settleChange(await removeTask(scope, id, ifMatch))
}

/**
 * What the change or deletion of a task came to.
 *
 * @param change undefined when there is no such task
 * @param condition where the request has the version that the task must be at
 * @throws AppError TASK_NOT_FOUND; PRECONDITION_FAILED with the task as it is
 */
export function settleChange(change: Change | undefined, condition = 'headers/if-match'): Task {
  if (change === undefined) throw new AppError('TASK_NOT_FOUND')
  if (change.outcome !== 'mismatch') return change.task
  throw preconditionFailed(change.task, condition)
}

/** The error that shows the task as it is; `condition` as in settleChange. */
export function preconditionFailed(task: Task, condition = 'headers/if-match'): AppError {
  return new AppError('PRECONDITION_FAILED', {
    headers: { etag: formatEtag(task.version) },
    details: [
      { path: condition, code: 'mismatch', message: `the task is at version ${task.version}`, current: task },
    ],
  })
}
