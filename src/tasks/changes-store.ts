import type { Observer, UserScope } from '../db/database.ts'
import { call, observerStatement, selectList, sql, statement, type ValuesOf } from '../db/sql.ts'
import { taskColumns } from './store.ts'

/** Null where there is no change: the counter alone is told then. */
const feedColumns = {
  counter: 'int8',
  expired_before: 'int8',
  id: 'uuid?',
  user_id: 'text?',
  title: 'text?',
  description: 'text?',
  completed: 'bool?',
  completed_at: 'timestamptz?',
  created_at: 'timestamptz?',
  updated_at: 'timestamptz?',
  version: 'int8?',
  is_deleted: 'bool?',
} as const

// One statement, so that the counter and the changes are of one snapshot. A writer moves the counter in the transaction
// that writes, and holds its row until that is committed: whatever has a number up to the counter of a snapshot is
// therefore in that snapshot, and a reader that has come to its end can go on from the counter and miss nothing.
//
// The position goes through the aggregate, which keeps its value from the planner: it would take the versions of a user
// with many changes for rare, since other users have none so high, and fetch and sort all of them for one page.
const feed = statement(
  'list_changes',
  { after: 'int8', start: 'int8?', limit: 'int8' },
  feedColumns,
  ({ user_id, after, start, limit }) => sql`
  with counter as (
    select coalesce(max(c.version), 0) as version, coalesce(max(c.expired_before), 0) as expired_before,
      ${after}::int8 as after, coalesce(${start}, max(c.version), 0) as start
    from app.change_counters c where c.user_id = ${user_id})
  select n.version as counter, n.expired_before, ${selectList(taskColumns, 'x')}, x.is_deleted
  from counter n left join lateral (
    (select ${selectList(taskColumns, 't')}, t.deleted_at is not null as is_deleted
      from app.tasks t
      where t.user_id = ${user_id} and t.version > n.after and (t.deleted_at is null or t.version > n.start)
      order by t.version limit ${limit})
    union all
    (select d.id, d.user_id, null, null, null, null, null, null, d.version, true
      from app.deletions d
      where d.user_id = ${user_id} and d.version > n.start
      order by d.version limit ${limit})
    order by version limit ${limit}) x on true
  order by x.version`,
)

const changedCounters = observerStatement(
  'changed_counters',
  { user_ids: '_text', versions: '_int8' },
  { user_id: 'text', version: 'int8' },
  ({ user_ids, versions }) => sql`
  select c.user_id, c.version
  from unnest(${user_ids}::text[], ${versions}::int8[]) as known (user_id, version)
  join app.change_counters c on c.user_id = known.user_id and c.version <> known.version`,
)

/** A row of the feed that holds a change. */
export type FeedRow = ValuesOf<typeof feedColumns>

export type Feed = {
  /** The number of the user's last change; 0 when there is none. */
  readonly counter: number
  /** What was deleted before this number may have been forgotten. */
  readonly expiredBefore: number
  /** In the order of their version. */
  readonly rows: readonly FeedRow[]
}

/**
 * The user's changes after a version, and the counter, of one snapshot.
 *
 * @param page.after the version after which the changes begin
 * @param page.start deletions up to this version are left out, never below `after`; undefined: all up to now
 * @param page.limit most changes to return
 */
export async function readFeed(
  scope: UserScope,
  { after, start, limit }: { after: number; start: number | undefined; limit: number },
): Promise<Feed> {
  const rows = await scope.runShort(call(feed, { after, start: start ?? null, limit }))
  const [first] = rows
  if (first === undefined) throw new Error('The feed returned no row')
  return {
    counter: first.counter,
    expiredBefore: first.expired_before,
    rows: first.id === null ? [] : rows,
  }
}

/**
 * The counters, of users listed with the number that is known of each, that are at another number now.
 *
 * @param known user → version
 */
export function readChangedCounters(
  observer: Observer,
  known: ReadonlyMap<string, number>,
): Promise<{ readonly user_id: string; readonly version: number }[]> {
  return observer.run(changedCounters, { user_ids: [...known.keys()], versions: [...known.values()] })
}
