import type { TransactionScope } from '../db/database.ts'
import { call, sql, statement } from '../db/sql.ts'
import type { ShownError } from '../http/envelope.ts'

/** An answer as it is kept for a retry: what a client sees of it but for `meta`. */
export type KeptAnswer = {
  readonly status: number
  readonly etag?: string
  readonly location?: string
} & ({ readonly data: unknown } | { readonly error: ShownError })

/** What is known of a key at the start of a request. */
export type Claim = {
  /** Whether no other request with this key is under way: this one has it until its transaction ends. */
  readonly isOurs: boolean
  readonly kept: { readonly fingerprint: string; readonly answer: KeptAnswer } | undefined
}

/** Two keys that share the hash only make one request wait for the other's end, by a retry. */
const lock = statement(
  'lock_idempotency_key',
  { key: 'text' },
  { locked: 'bool' },
  ({ user_id, key }) => sql`
  select pg_try_advisory_xact_lock(hashtextextended(${key}, hashtextextended(${user_id}, 0))) as locked`,
)

const find = statement(
  'find_idempotency_key',
  { key: 'text' },
  { fingerprint: 'text', answer: 'json' },
  ({ user_id, key }) => sql`
  select k.fingerprint, k.answer from app.idempotency_keys k
  where k.user_id = ${user_id} and k.key = ${key} and k.expires_at > clock_timestamp()`,
)

// A row that is there already has expired. The counter row is how the sweep finds a user who has keys and nothing else.
const keep = statement(
  'keep_idempotency_key',
  { key: 'text', fingerprint: 'text', answer: 'json' },
  {},
  ({ user_id, key, fingerprint, answer }) => sql`
  with counter as (
    insert into app.change_counters (user_id, version) values (${user_id}, 0) on conflict (user_id) do nothing)
  insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
  values (${user_id}, ${key}, ${fingerprint}, ${answer}, clock_timestamp() + interval '24 hours')
  on conflict (user_id, key) do update
    set fingerprint = excluded.fingerprint, answer = excluded.answer, expires_at = excluded.expires_at`,
)

/**
 * Takes a key for the rest of the transaction, and looks for its answer, in one round trip. They are two statements: the
 * one that looks must see what was committed before the lock was had.
 */
export async function claimKey(scope: TransactionScope, key: string): Promise<Claim> {
  const [[locked], [row]] = await scope.runAll([call(lock, { key }), call(find, { key })])
  // Only keepAnswer writes the column.
  const kept = row && { fingerprint: row.fingerprint, answer: row.answer as KeptAnswer }
  return { isOurs: locked?.locked ?? false, kept }
}

/** Has an answer kept for 24 hours; it is written with the commit, in the same round trip. */
export function keepAnswer(
  scope: TransactionScope,
  key: string,
  fingerprint: string,
  answer: KeptAnswer,
): void {
  scope.queue(call(keep, { key, fingerprint, answer }))
}
