import type { UserScope } from '../db/database.ts'
import { AppError } from '../errors.ts'
import { preconditionFailed } from './commands.ts'
import type { Task, TrashedTask } from './task.ts'
import { removeAllForGood, removeForGood, restoreFromTrash } from './trash-store.ts'

/**
 * Takes a task out of the trash; one that is not in it stays as it is.
 *
 * @throws AppError TASK_NOT_FOUND
 */
export async function restoreTask(scope: UserScope, id: string): Promise<Task> {
  const task = await restoreFromTrash(scope, id)
  if (task === undefined) throw new AppError('TASK_NOT_FOUND')
  return task
}

/**
 * Removes a task in the trash for good, and returns it as it was.
 *
 * @param ifMatch versions that the client allows, or null for any
 * @throws AppError TASK_NOT_FOUND, for a task that is not in the trash too; PRECONDITION_FAILED with the task as it is
 */
export async function purgeTask(
  scope: UserScope,
  id: string,
  ifMatch: readonly number[] | null,
): Promise<TrashedTask> {
  const removal = await removeForGood(scope, id, ifMatch)
  if (removal === undefined) throw new AppError('TASK_NOT_FOUND')
  if (removal.outcome === 'mismatch') throw preconditionFailed(removal.task)
  return removal.task
}

/**
 * Removes everything in the user's trash for good. A very full one is emptied in parts: after a failure, what is left
 * can be removed by the same call again.
 *
 * @returns how many tasks there were
 */
export async function emptyTrash(scope: UserScope): Promise<number> {
  return removeAllForGood(scope)
}
