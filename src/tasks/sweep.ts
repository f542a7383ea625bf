import { setTimeout as delay } from 'node:timers/promises'
import type { Database } from '../db/database.ts'
import {
  type DueUser,
  findDueUsers,
  type Retention,
  sweepDeletionsBatch,
  sweepKeysBatch,
  sweepTrashBatch,
} from './sweep-store.ts'

export type { Retention } from './sweep-store.ts'

/** How long the change feed keeps a deletion after the task was removed for good, in days. */
export const deletionsRetentionDays = 90

export type SweepOptions = {
  readonly database: Database
  readonly retention: Retention
  /** Ends the sweep between two batches. */
  readonly signal: AbortSignal
  /** Most rows that one statement removes. */
  readonly batchRows?: number
  /** Most users that one statement looks at. */
  readonly pageUsers?: number
  /** Shortest pause after each statement, in milliseconds; it lasts at least as long as the statement took. */
  readonly pauseMs?: number
}

/** What a sweep did. */
export type Sweep = {
  /** Tasks that left the trash for good. */
  readonly trash: number
  /** Deletions that the change feed forgot. */
  readonly deletions: number
  /** Idempotency keys that had expired. */
  readonly keys: number
  /** Users of whom something could not be removed; it is still due. */
  readonly failures: number
  /** The last failure, if there was one. */
  readonly error?: unknown
  /** It looked at all users, was stopped, met another instance that sweeps, or gave up. */
  readonly end: 'finished' | 'stopped' | 'elsewhere' | 'failed'
}

type Counts = { trash: number; deletions: number; keys: number; failures: number }

/** So many users in a row that fail mean that the database is away, not that one of them is busy. */
const mostFailuresInARow = 3

/**
 * Removes what is due of all users: tasks that were in the trash long enough, deletions that the change feed need not
 * tell any more, idempotency keys that have expired. It does so in small batches, each of them whole and committed by
 * itself, with pauses that leave at least half of the time to others. Never rejects.
 *
 * One instance removes at a time: who meets another's batch leaves the rest to it. Each sweep begins at the first user,
 * so the one that goes on misses nothing.
 */
export async function sweep(options: SweepOptions): Promise<Sweep> {
  const { signal } = options
  const counts: Counts = { trash: 0, deletions: 0, keys: 0, failures: 0 }
  let error: unknown
  let inARow = 0
  try {
    for await (const user of dueUsers(options)) {
      try {
        if (!(await clear(user, counts, options))) return { ...counts, error, end: 'elsewhere' }
        inARow = 0
      } catch (failure) {
        signal.throwIfAborted()
        error = failure
        counts.failures++
        if (++inARow === mostFailuresInARow) throw failure
      }
    }
    return { ...counts, error, end: 'finished' }
  } catch (failure) {
    return signal.aborted
      ? { ...counts, error, end: 'stopped' }
      : { ...counts, error: failure, end: 'failed' }
  }
}

/** All users of whom something is due, in the order of their ids. */
async function* dueUsers(options: SweepOptions): AsyncGenerator<DueUser> {
  const { database, retention, pageUsers = 1_000 } = options
  let after = ''
  for (;;) {
    const startedAt = performance.now()
    const users = await findDueUsers(database, { after, limit: pageUsers, retention })
    const last = users.at(-1)
    if (last === undefined) return
    await pause(startedAt, options)
    yield* users
    after = last.user_id
  }
}

/** @returns false when another instance is sweeping */
async function clear(user: DueUser, counts: Counts, options: SweepOptions): Promise<boolean> {
  const { database, retention, batchRows = 500 } = options
  const scope = database.scopeFor(user.user_id, 'service')
  const batches = {
    trash: () => sweepTrashBatch(scope, retention.trashDays, batchRows),
    deletions: () => sweepDeletionsBatch(scope, retention.deletionsDays, batchRows),
    keys: () => sweepKeysBatch(scope, batchRows),
  }
  for (const kind of ['trash', 'deletions', 'keys'] as const) {
    for (let more = user[kind]; more; ) {
      const startedAt = performance.now()
      const { held, removed } = await batches[kind]()
      if (!held) return false
      counts[kind] += removed
      more = removed === batchRows
      await pause(startedAt, options)
    }
  }
  return true
}

/** @throws when the sweep is to stop */
function pause(startedAt: number, { signal, pauseMs = 20 }: SweepOptions): Promise<void> {
  return delay(Math.max(pauseMs, performance.now() - startedAt), undefined, { signal })
}

export type SweepsOptions = SweepOptions & {
  /** From one sweep to the next, in milliseconds. */
  readonly intervalMs?: number
  /** Before the first, and before the next after one that failed, in milliseconds. */
  readonly firstDelayMs?: number
  readonly retryMs?: number
  /** Told of each sweep that was not stopped. Must not throw. */
  readonly onSweep: (sweep: Sweep, durationMs: number) => void
}

/**
 * Sweeps soon after the start, then every hour, until the signal. All these times vary by a quarter either way, so that
 * instances that started together do not meet each time. Never rejects; nothing need wait for it.
 */
export async function runSweeps(options: SweepsOptions): Promise<void> {
  const { signal, intervalMs = 3_600_000, firstDelayMs = 2_000, retryMs = 60_000, onSweep } = options
  let waitMs = firstDelayMs
  while (await elapsed(waitMs * (0.75 + Math.random() / 2), signal)) {
    const startedAt = performance.now()
    const swept = await sweep(options)
    if (swept.end !== 'stopped') onSweep(swept, Math.round(performance.now() - startedAt))
    waitMs = swept.error === undefined ? intervalMs : retryMs
  }
}

/** Whether the time has passed; false as soon as the signal comes. */
function elapsed(waitMs: number, signal: AbortSignal): Promise<boolean> {
  return delay(waitMs, undefined, { signal }).then(
    () => true,
    () => false,
  )
}
