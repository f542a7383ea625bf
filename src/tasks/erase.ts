import type { TransactionScope, UserScope } from '../db/database.ts'
import {
  expireAllCursors,
  firstId,
  removeSomeDeletions,
  removeSomeKeys,
  removeSomeTasks,
} from './transfer-store.ts'

/** Rows that one statement removes at most, so that each is short. */
const batchSize = 500

/** Longest time that an erasure may take; it holds the user's counter and a connection. */
const timeoutMs = 120_000

/**
 * Erases everything of the user's for good: tasks, the trash, what the change feed and idempotency keys remember. All or
 * nothing. Only the counter stays, where there is one, moved up by one: versions are never given twice, and every older
 * cursor has expired.
 *
 * @returns how many tasks there were, those in the trash too
 */
export function eraseData(scope: UserScope): Promise<number> {
  return scope.transaction(
    async (transaction) => {
      await expireAllCursors(transaction)
      const tasks = await removeAll(transaction, removeSomeTasks, firstId)
      await removeAll(transaction, removeSomeDeletions, firstId)
      await removeAll(transaction, removeSomeKeys, '')
      return tasks
    },
    { timeoutMs },
  )
}

async function removeAll(
  scope: TransactionScope,
  removeSome: typeof removeSomeTasks,
  first: string,
): Promise<number> {
  let total = 0
  for (let from: string | null = first; from !== null; ) {
    const { removed, last }: { removed: number; last: string | null } = await removeSome(
      scope,
      from,
      batchSize,
    )
    total += removed
    from = removed < batchSize ? null : last
  }
  return total
}
