import type { UserScope } from '../db/database.ts'
import { type Change, type ChangeCall, lockCall, toChange } from './store.ts'

/**
 * Makes changes one after the other, in one round trip and one transaction, whose first statement locks the user's
 * counter: each sees what those before it did, and no other writer of the user comes in between.
 *
 * @returns the tasks that each met, as the functions of store.ts tell them
 */
export async function makeChanges(scope: UserScope, calls: readonly ChangeCall[]): Promise<Change[][]> {
  if (calls.length === 0) return []
  const [, ...rows] = await scope.runAll([lockCall(), ...calls])
  return rows.map((each) => each.map(toChange))
}
