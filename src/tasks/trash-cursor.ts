import { isTime, readPlace, writePlace } from './list-cursor.ts'
import type { Place } from './list-store.ts'
import type { TrashedTask } from './task.ts'

/** What a cursor may be used with again: the user and this list, not the limit. */
function bindingOf(userId: string): string[] {
  return ['list-trash', userId]
}

/** The cursor of the page after `last`. */
export function writeTrashCursor(userId: string, last: TrashedTask): string {
  return writePlace(bindingOf(userId), { value: last.deleted_at, id: last.id })
}

/**
 * The place that a cursor holds, or undefined without one.
 *
 * @throws AppError INVALID_CURSOR when it is damaged, or was made for another user or list
 */
export function readTrashCursor(userId: string, cursor: string | undefined): Place | undefined {
  return cursor === undefined ? undefined : readPlace(bindingOf(userId), cursor, isTime)
}
