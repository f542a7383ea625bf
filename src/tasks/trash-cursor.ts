import { AppError } from '../errors.ts'
import { decodeCursor, encodeCursor } from '../lib/cursor.ts'
import type { TrashedTask } from './task.ts'
import type { TrashPosition } from './trash-store.ts'

const uuidForm = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** What a cursor may be used with again: the user and this list, not the limit. */
function bindingOf(userId: string): string[] {
  return ['list-trash', userId]
}

/** The cursor of the page after `last`. */
export function writeTrashCursor(userId: string, last: TrashedTask): string {
  return encodeCursor([last.deleted_at, last.id], bindingOf(userId))
}

/**
 * The place that a cursor holds, or undefined without one.
 *
 * @throws AppError INVALID_CURSOR when it is damaged, or was made for another user or list
 */
export function readTrashCursor(userId: string, cursor: string | undefined): TrashPosition | undefined {
  if (cursor === undefined) return undefined
  const [deletedAt, id] = decodeCursor(cursor, bindingOf(userId)) ?? []
  // Whoever knows how a cursor is made can make one that holds anything.
  if (deletedAt === undefined || id === undefined || !isTime(deletedAt) || !uuidForm.test(id)) {
    throw new AppError('INVALID_CURSOR')
  }
  return { deletedAt, id }
}

function isTime(text: string): boolean {
  const time = new Date(text)
  return text.length === 24 && !Number.isNaN(time.getTime()) && time.toISOString() === text
}
