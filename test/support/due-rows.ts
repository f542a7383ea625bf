import assert from 'node:assert/strict'
import { newUser } from './app.ts'
import type { TestDatabase } from './database.ts'

/** Stores deletions of a user by SQL, at the next versions, that were removed for good an interval ago. */
export async function storeDeletions(
  { query }: TestDatabase,
  userId: string,
  count: number,
  age: string,
): Promise<void> {
  await query(
    `with counter as (
      insert into app.change_counters as c (user_id, version) values ($1, $2)
      on conflict (user_id) do update set version = c.version + excluded.version returning c.version)
    insert into app.deletions (user_id, id, version, removed_at)
    select $1, gen_random_uuid(), version - $2::int + n, now() - $3::interval
    from counter, generate_series(1, $2::int) n`,
    [userId, count, age],
  )
}

/** Stores idempotency keys of a user by SQL that expired an interval ago. */
export async function storeKeys(
  { query }: TestDatabase,
  userId: string,
  count: number,
  age: string,
): Promise<void> {
  await query(
    `with counter as (
      insert into app.change_counters (user_id, version) values ($1, 0) on conflict (user_id) do nothing)
    insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
    select $1, gen_random_uuid(), 'x', '{}', now() - $3::interval from generate_series(1, $2::int)`,
    [userId, count, age],
  )
}

export type Left = { readonly tasks: number; readonly deletions: number; readonly keys: number }

/** How many rows there are of a user, or of all. */
export async function leftOf({ query }: TestDatabase, userId?: string): Promise<Left> {
  const where = 'where user_id = $1 or $1 is null'
  const [row] = await query<Left>(
    `select (select count(*)::int from app.tasks ${where}) as tasks,
      (select count(*)::int from app.deletions ${where}) as deletions,
      (select count(*)::int from app.idempotency_keys ${where}) as keys`,
    [userId ?? null],
  )
  assert.ok(row)
  return row
}

/** Users in no order of their ids, some of them odd. */
export function newUsers(count: number): string[] {
  const odd = ['ä Ω', '\u{1f600}', "o'x", 'A', '0', '~'].map((each) => `${each}${newUser()}`)
  return [...odd, ...Array.from({ length: count }, newUser)].slice(0, count)
}

export type Trashed = { readonly user_id: string; readonly id: string; readonly version: number }

/** Every task in the trash, to be told from what becomes of it. */
export function allTrashed({ query }: TestDatabase): Promise<Trashed[]> {
  return query<Trashed>(
    'select user_id, id::text, version::int from app.tasks where deleted_at is not null order by user_id, id',
  )
}

/**
 * Checks that each of these is in the trash still, or known as a deletion with its version, or that the cursors from
 * before it have expired; and that none is both.
 */
export async function assertFeedTellsOf(
  testDatabase: TestDatabase,
  trashed: readonly Trashed[],
): Promise<void> {
  const rows = await testDatabase.query<{ id: string; places: number }>(
    `select x.id, (select count(*)::int from app.tasks t where (t.user_id, t.id, t.version) = (x.user_id, x.id, x.version))
      + (select count(*)::int from app.deletions d where (d.user_id, d.id, d.version) = (x.user_id, x.id, x.version))
      + (select count(*)::int from app.change_counters c where c.user_id = x.user_id and c.expired_before >= x.version)
      as places
    from json_to_recordset($1) as x (user_id text, id uuid, version bigint)`,
    [JSON.stringify(trashed)],
  )
  assert.equal(rows.length, trashed.length)
  for (const { id, places } of rows) assert.equal(places, 1, `${id} is in ${places} places`)
}
