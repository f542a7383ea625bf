import { AppError } from '../errors.ts'
import { decodeCursor, encodeCursor } from '../lib/cursor.ts'
import type { ListPosition } from './list-store.ts'
import type { Task } from './task.ts'

const uuidForm = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** What a list's cursor may be used with again: the user and the filter, not the limit. */
function bindingOf(userId: string, completed: boolean | undefined): string[] {
  return ['list-tasks', userId, String(completed)]
}

/** The cursor of the page after `last`. */
export function writeCursor(userId: string, completed: boolean | undefined, last: Task): string {
  return encodeCursor([last.created_at, last.id], bindingOf(userId, completed))
}

/**
 * The place that a cursor holds, or undefined without one.
 *
 * @throws AppError INVALID_CURSOR when it is damaged, or was made for another user or filter
 */
export function readCursor(
  userId: string,
  completed: boolean | undefined,
  cursor: string | undefined,
): ListPosition | undefined {
  if (cursor === undefined) return undefined
  const [createdAt, id] = decodeCursor(cursor, bindingOf(userId, completed)) ?? []
  // Whoever knows how a cursor is made can make one that holds anything.
  if (createdAt === undefined || id === undefined || !isTime(createdAt) || !uuidForm.test(id)) {
    throw new AppError('INVALID_CURSOR')
  }
  return { createdAt, id }
}

function isTime(text: string): boolean {
  const time = new Date(text)
  return text.length === 24 && !Number.isNaN(time.getTime()) && time.toISOString() === text
}
