import { AppError } from '../errors.ts'
import { decodeCursor, encodeCursor } from '../lib/cursor.ts'

/** A place in the feed of a user's changes. */
export type FeedPosition = {
  /** The version of the last change that was read. */
  readonly after: number
  /**
   * The number of the user's last change when reading began. While `after` has not come to it, the reader has the first
   * state before it: it needs no deletions up to here. Never below `after`.
   */
  readonly start: number
}

/** Fifteen digits are below 2^53. */
const versionForm = /^(?:0|[1-9]\d{0,14})$/

/** What the cursors of changes and of their stream may be used with again: the user. */
function bindingOf(userId: string): string[] {
  return ['list-changes', userId]
}

/** The cursor that goes on from a position. */
export function writeCursor(userId: string, { after, start }: FeedPosition): string {
  const position = start > after ? [String(after), String(start)] : [String(after)]
  return encodeCursor(position, bindingOf(userId))
}

/**
 * The position that a cursor holds.
 *
 * @throws AppError INVALID_CURSOR when it is damaged, or was made for another user or another list
 */
export function readCursor(userId: string, cursor: string): FeedPosition {
  const [after, start = after, ...more] = decodeCursor(cursor, bindingOf(userId)) ?? []
  // Whoever knows how a cursor is made can make one that holds anything.
  if (after === undefined || start === undefined || more.length > 0) throw new AppError('INVALID_CURSOR')
  if (!versionForm.test(after) || !versionForm.test(start) || Number(start) < Number(after)) {
    throw new AppError('INVALID_CURSOR')
  }
  return { after: Number(after), start: Number(start) }
}
