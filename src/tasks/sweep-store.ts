import type { Database, UserScope } from '../db/database.ts'
import { type Fragment, observerStatement, sql, statement, type ValuesOf } from '../db/sql.ts'
import { removalOf } from './trash-store.ts'

/** How long what is no longer needed is kept. */
export type Retention = {
  /** Days of 24 hours that a task stays in the trash. */
  readonly trashDays: number
  /** Days of 24 hours that the change feed tells of a task after it was removed for good. */
  readonly deletionsDays: number
}

/** A user of whom something is due, and what it is. */
export type DueUser = ValuesOf<typeof dueColumns>

/** How a batch went: whether this instance was the one to sweep, and how many rows it removed. */
export type Batch = { readonly held: boolean; readonly removed: number }

/** Key of the advisory lock that lets one instance sweep at a time: "bcsw" in ASCII. */
export const sweepLockKey = 0x62637377

const dueColumns = { user_id: 'text', trash: 'bool', deletions: 'bool', keys: 'bool' } as const
const batchParameters = { lock_key: 'int8', limit: 'int8' } as const
const batchColumns = { held: 'bool', removed: 'int8' } as const

/** The moment before which something is due, by the database's clock. */
function ago(days: Fragment): Fragment {
  return sql`statement_timestamp() - make_interval(hours => 24 * ${days})`
}

// Each user's counter row is looked at once, and of the three tables no more than the first row that is due. A scalar
// subquery with a limit is always answered by the index; EXISTS could be turned into a scan of the whole table.
const findDue = observerStatement(
  'find_due_users',
  { after: 'text', limit: 'int8', trash_days: 'int4', deletions_days: 'int4' },
  dueColumns,
  ({ after, limit, trash_days, deletions_days }) => sql`
  with page as materialized (
    select c.user_id from app.change_counters c where c.user_id > ${after} order by c.user_id limit ${limit}),
  found as materialized (
    select p.user_id,
      coalesce((select true from app.tasks t
        where t.user_id = p.user_id and t.deleted_at <= ${ago(trash_days)} limit 1), false) as trash,
      coalesce((select true from app.deletions d
        where d.user_id = p.user_id and d.removed_at <= ${ago(deletions_days)} limit 1), false) as deletions,
      coalesce((select true from app.idempotency_keys k
        where k.user_id = p.user_id and k.expires_at <= statement_timestamp() limit 1), false) as keys
    from page p)
  select f.user_id, f.trash, f.deletions, f.keys from found f
  where f.trash or f.deletions or f.keys or f.user_id = (select max(p.user_id) from page p)
  order by f.user_id`,
)

// Each batch is one statement, so that a sweep can end after any of them, by whatever end. The advisory lock belongs to
// its transaction, and so holds behind a transaction pooler too. Without the lock it reads and removes nothing.
//
// Both that touch what the change feed tells lock the counter first, as every writer does. FOR UPDATE reads a row again
// that another writer has changed meanwhile: a task that was restored is no longer due, and stays.

const sweepTrash = statement(
  'sweep_trash',
  { ...batchParameters, days: 'int4' },
  batchColumns,
  ({ user_id, lock_key, limit, days }) => sql`
  with sweeper as materialized (select pg_try_advisory_xact_lock(${lock_key}) as held),
  due as (
    select t.id from app.change_counters c join app.tasks t on t.user_id = c.user_id
    where (select s.held from sweeper s) and c.user_id = ${user_id} and t.user_id = ${user_id}
      and t.deleted_at <= ${ago(days)}
    order by t.deleted_at, t.id limit ${limit}
    for update of c, t),
  ${removalOf(user_id, sql`select d.id from due d`)}
  select s.held, (select count(*) from removed) as removed from sweeper s`,
)

const sweepDeletions = statement(
  'sweep_deletions',
  { ...batchParameters, days: 'int4' },
  batchColumns,
  ({ user_id, lock_key, limit, days }) => sql`
  with sweeper as materialized (select pg_try_advisory_xact_lock(${lock_key}) as held),
  due as (
    select d.id from app.change_counters c join app.deletions d on d.user_id = c.user_id
    where (select s.held from sweeper s) and c.user_id = ${user_id} and d.user_id = ${user_id}
      and d.removed_at <= ${ago(days)}
    order by d.removed_at limit ${limit}
    for update of c, d),
  removed as (
    delete from app.deletions d where d.user_id = ${user_id} and d.id = any(array(select x.id from due x))
    returning d.version),
  forgotten as (select max(r.version) as version from removed r),
  raised as (
    update app.change_counters c set expired_before = greatest(c.expired_before, f.version)
    from forgotten f where c.user_id = ${user_id} and f.version is not null)
  select s.held, (select count(*) from removed) as removed from sweeper s`,
)

const sweepKeys = statement(
  'sweep_idempotency_keys',
  batchParameters,
  batchColumns,
  ({ user_id, lock_key, limit }) => sql`
  with sweeper as materialized (select pg_try_advisory_xact_lock(${lock_key}) as held),
  due as (
    select k.key from app.idempotency_keys k
    where (select s.held from sweeper s) and k.user_id = ${user_id} and k.expires_at <= statement_timestamp()
    order by k.expires_at limit ${limit}
    for update of k skip locked),
  removed as (
    delete from app.idempotency_keys k where k.user_id = ${user_id} and k.key = any(array(select d.key from due d))
    returning 1)
  select s.held, (select count(*) from removed) as removed from sweeper s`,
)

/**
 * Looks through the next users, in the order of their ids.
 *
 * @param after the user after whom to begin, or '' for the first
 * @param limit how many users to look at
 * @returns those with something due, and the last one looked at even if nothing is; none when there are no more users
 */
export function findDueUsers(
  { observer }: Database,
  { after, limit, retention }: { after: string; limit: number; retention: Retention },
): Promise<DueUser[]> {
  const { trashDays, deletionsDays } = retention
  return observer.run(findDue, { after, limit, trash_days: trashDays, deletions_days: deletionsDays })
}

/** Removes for good the first so many of the user's tasks that were in the trash for the days given. */
export async function sweepTrashBatch(scope: UserScope, days: number, limit: number): Promise<Batch> {
  return toBatch(await scope.run(sweepTrash, { lock_key: sweepLockKey, limit, days }))
}

/**
 * Forgets the first so many of the user's tasks that were removed for good the days given ago. Cursors of the change
 * feed from before these deletions expire in the same statement.
 */
export async function sweepDeletionsBatch(scope: UserScope, days: number, limit: number): Promise<Batch> {
  return toBatch(await scope.run(sweepDeletions, { lock_key: sweepLockKey, limit, days }))
}

/** Removes the first so many of the user's idempotency keys that have expired. One that is in use is passed over. */
export async function sweepKeysBatch(scope: UserScope, limit: number): Promise<Batch> {
  return toBatch(await scope.run(sweepKeys, { lock_key: sweepLockKey, limit }))
}

function toBatch([row]: readonly Batch[]): Batch {
  if (row === undefined) throw new Error('The sweep returned no row')
  return row
}
