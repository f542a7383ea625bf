import { AppError } from '../errors.ts'
import { decodeCursor, encodeCursor } from '../lib/cursor.ts'
import type { List, Place, SortColumn } from './list-store.ts'
import type { Task } from './task.ts'

const uuidForm = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The cursor of what comes after a place, for use with the same binding alone. */
export function writePlace(binding: readonly string[], { value, id }: Place): string {
  return encodeCursor([value, id], binding)
}

/**
 * The place that a cursor holds.
 *
 * @param isValue whether the list's sort column can have this value
 * @throws AppError INVALID_CURSOR when it is damaged, or was made with another binding
 */
export function readPlace(
  binding: readonly string[],
  cursor: string,
  isValue: (text: string) => boolean,
): Place {
  const [value, id] = decodeCursor(cursor, binding) ?? []
  // Whoever knows how a cursor is made can make one that holds anything.
  if (typeof value !== 'string' || typeof id !== 'string' || !isValue(value) || !uuidForm.test(id)) {
    throw new AppError('INVALID_CURSOR')
  }
  return { value, id }
}

/** Whether a text is a time as answers show it. */
export function isTime(text: string): boolean {
  const time = new Date(text)
  return text.length === 24 && !Number.isNaN(time.getTime()) && time.toISOString() === text
}

function isTitle(text: string): boolean {
  return text.length <= 510 && text.isWellFormed() && !text.includes('\0')
}

const isValueOf: Readonly<Record<SortColumn, (text: string) => boolean>> = {
  created_at: isTime,
  updated_at: isTime,
  title: isTitle,
}

/** What a list's cursor may be used with again: the user, the filter and the sort, not the limit. */
function bindingOf(userId: string, { sort, direction, completed, q, created, updated }: List): string[] {
  const times = [created.after, created.before, updated.after, updated.before]
  const filter = [completed, q, ...times].map((each) => each ?? null)
  return ['list-tasks', userId, sort, direction, JSON.stringify(filter)]
}

/** The cursor of the page after `last`. */
export function writeCursor(userId: string, list: List, last: Task): string {
  return writePlace(bindingOf(userId, list), { value: last[list.sort], id: last.id })
}

/**
 * The place that a cursor of a list holds, or undefined without one.
 *
 * @throws AppError INVALID_CURSOR when it is damaged, or was made for another user, filter or sort
 */
export function readCursor(userId: string, list: List, cursor: string | undefined): Place | undefined {
  return cursor === undefined ? undefined : readPlace(bindingOf(userId, list), cursor, isValueOf[list.sort])
}
