import type { UserScope } from '../db/database.ts'
import { call, type Fragment, selectList, sql, statement, type ValuesOf } from '../db/sql.ts'
import { lockCounter, taskColumns } from './store.ts'
import type { Task, TrashedTask } from './task.ts'

/** The columns of a task in the trash. They are null in no row of it, but the table allows it for other tasks. */
export const trashedColumns = { ...taskColumns, deleted_at: 'timestamptz?' } as const

type TrashedRow = ValuesOf<typeof trashedColumns>

/** What became of a task that was to be removed for good. */
export type Removal = { readonly outcome: 'removed' | 'mismatch'; readonly task: TrashedTask }

/** Most tasks that one statement removes when the trash is emptied: some tenths of a second for the user's next writer. */
const emptyBatchRows = 5_000

/**
 * The parts of a statement by which tasks in the trash go for good: the rows go, the change feed keeps their ids and
 * versions, and the counter moves on, so that the ETag of a list of the trash is another. The lock of the counter must
 * be held.
 *
 * A row may be there already when an id was used again by a create that waited for the removal before it: its
 * statement could not see what to take back.
 *
 * @param due what selects the ids of the tasks; of those that are not in the trash none goes, whatever it selects
 */
export function removalOf(user_id: Fragment, due: Fragment): Fragment {
  return sql`
  removed as (
    delete from app.tasks t
    where t.user_id = ${user_id} and t.id = any(array(${due})) and t.deleted_at is not null
    returning t.id, t.version),
  remembered as (
    insert into app.deletions (user_id, id, version, removed_at)
    select ${user_id}, r.id, r.version, clock_timestamp() from removed r
    on conflict (user_id, id) do update set version = excluded.version, removed_at = excluded.removed_at),
  counted as (
    update app.change_counters c set version = c.version + 1
    where c.user_id = ${user_id} and exists (select from removed))`
}

// As the changes of store.ts, these lock the counter row first, then the task, and read both again once they are
// locked. Whether the task is in the trash is therefore decided on what the writer before left behind.

const restore = statement(
  'restore_task',
  { id: 'uuid' },
  taskColumns,
  ({ user_id, id }) => sql`
  with current as (
    select ${selectList(trashedColumns, 't')}, c.version + 1 as next_version
    from app.change_counters c join app.tasks t on t.user_id = c.user_id
    where c.user_id = ${user_id} and t.user_id = ${user_id} and t.id = ${id}
    for update of c, t),
  restored as (
    update app.tasks t set deleted_at = null, version = x.next_version,
      updated_at = greatest(clock_timestamp(), x.updated_at + interval '1 millisecond')
    from current x
    where t.user_id = ${user_id} and t.id = ${id} and x.deleted_at is not null
    returning ${selectList(taskColumns, 't')}),
  counted as (
    update app.change_counters c set version = r.version from restored r where c.user_id = ${user_id})
  select ${selectList(taskColumns, 'r')} from restored r
  union all
  select ${selectList(taskColumns, 'x')} from current x where x.deleted_at is null`,
)

const purge = statement(
  'purge_task',
  { id: 'uuid', if_match: '_int8?' },
  { ...trashedColumns, outcome: 'text' },
  ({ user_id, id, if_match }) => sql`
  with current as (
    select ${selectList(trashedColumns, 't')}, coalesce(t.version = any(${if_match}), true) as matches
    from app.change_counters c join app.tasks t on t.user_id = c.user_id
    where c.user_id = ${user_id} and t.user_id = ${user_id} and t.id = ${id}
    for update of c, t),
  ${removalOf(user_id, sql`select x.id from current x where x.matches and x.deleted_at is not null`)}
  select ${selectList(trashedColumns, 'x')}, case when x.matches then 'removed' else 'mismatch' end as outcome
  from current x where x.deleted_at is not null`,
)

// A limit that the planner cannot know makes it go along the index, whatever the statistics say of the user.
const empty = statement(
  'empty_trash',
  { limit: 'int8' },
  { removed: 'int8' },
  ({ user_id, limit }) => sql`
  with due as (
    select t.id from app.tasks t where t.user_id = ${user_id} and t.deleted_at is not null
    order by t.deleted_at, t.id limit (select ${limit}::int8)),
  ${removalOf(user_id, sql`select d.id from due d`)}
  select count(*) as removed from removed`,
)

/** The row as a task, for which the type has no null. */
export function toTrashed({ deleted_at, ...task }: TrashedRow): TrashedTask {
  if (deleted_at === null) throw new Error('The store answered with a task that is not in the trash')
  return { ...task, deleted_at }
}

/**
 * Takes a task out of the trash, at the user's next version; one that is not in it stays as it is.
 *
 * @returns the task, or undefined when the user has none with this id
 */
export async function restoreFromTrash(scope: UserScope, id: string): Promise<Task | undefined> {
  return (await scope.runShort(call(restore, { id })))[0]
}

/**
 * Removes a task in the trash for good.
 *
 * @param ifMatch the versions that the client allows, or null for any
 * @returns the task as it was and what became of it, or undefined when no such task is in the trash
 */
export async function removeForGood(
  scope: UserScope,
  id: string,
  ifMatch: readonly number[] | null,
): Promise<Removal | undefined> {
  const [row] = await scope.runShort(call(purge, { id, if_match: ifMatch }))
  if (row === undefined) return undefined
  const { outcome, ...task } = row
  return { outcome: outcome === 'mismatch' ? 'mismatch' : 'removed', task: toTrashed(task) }
}

/**
 * Removes everything in the user's trash for good, so many tasks a round trip.
 *
 * A statement sees what was committed when it began, and not what a writer that it waits for adds. So the lock of the
 * counter is taken by a statement of its own, in the same round trip and transaction: the one behind it begins when no
 * writer of the user is under way, and sees every task that was deleted before its turn.
 *
 * @returns how many there were
 */
export async function removeAllForGood(scope: UserScope): Promise<number> {
  let total = 0
  for (;;) {
    const [, rows] = await scope.runAll([call(lockCounter, {}), call(empty, { limit: emptyBatchRows })])
    const removed = rows[0]?.removed ?? 0
    total += removed
    if (removed < emptyBatchRows) return total
  }
}
