import type { UserScope } from '../db/database.ts'
import { AppError } from '../errors.ts'
import type { FeedPosition } from './changes-cursor.ts'
import { type FeedRow, readFeed } from './changes-store.ts'
import type { Task } from './task.ts'

/** A task in its present state, or that it is gone: in the trash or removed for good. */
export type Change =
  | { readonly type: 'upsert'; readonly task: Task }
  | { readonly type: 'delete'; readonly id: string; readonly version: number }

export type ChangePage = {
  /** In the order of their version, each with the position after it. */
  readonly changes: readonly { readonly change: Change; readonly next: FeedPosition }[]
  /** The position after the page. */
  readonly next: FeedPosition
  readonly hasMore: boolean
  /** The number of the user's last change when the page was read. */
  readonly counter: number
}

/**
 * A page of the changes after a position, in one round trip.
 *
 * @param position where to go on; undefined: from the first state, without deletions made before now
 * @param limit most changes to return; 0 only looks at the counter
 * @throws AppError CURSOR_EXPIRED when deletions after the position may have been forgotten, and when the position is
 *   ahead of the counter: the database is then an older one than it was
 */
export async function readChanges(
  scope: UserScope,
  position: FeedPosition | undefined,
  limit: number,
): Promise<ChangePage> {
  // One change more than asked for tells whether a page follows.
  const { counter, expiredBefore, rows } = await readFeed(scope, {
    after: position?.after ?? 0,
    start: position?.start,
    limit: limit === 0 ? 0 : limit + 1,
  })
  const start = position?.start ?? counter
  if (start < expiredBefore || start > counter) throw new AppError('CURSOR_EXPIRED')
  const changes = rows.slice(0, limit).map((row) => {
    const change = toChange(row)
    const after = versionOf(change)
    return { change, next: { after, start: Math.max(after, start) } }
  })
  const hasMore = rows.length > limit
  // At the end, what is next is what comes after the snapshot, whether or not the last number left a change.
  const next = (hasMore ? changes.at(-1)?.next : undefined) ?? { after: counter, start: counter }
  return { changes, next, hasMore, counter }
}

/** The number that a change has in its user's order. */
export function versionOf(change: Change): number {
  return change.type === 'upsert' ? change.task.version : change.version
}

function toChange({ counter: _, expired_before: __, is_deleted, ...row }: FeedRow): Change {
  const { id, version, user_id, title, completed, created_at, updated_at } = row
  if (id === null || version === null) throw new Error('A change has no id')
  if (is_deleted === true) return { type: 'delete', id, version }
  if (user_id === null || title === null || completed === null || created_at === null || updated_at === null)
    throw new Error('A change lacks fields of its task')
  const { description, completed_at } = row
  return {
    type: 'upsert',
    task: { id, user_id, title, description, completed, completed_at, created_at, updated_at, version },
  }
}
