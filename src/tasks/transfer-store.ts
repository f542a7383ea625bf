import type { TransactionScope, UserScope } from '../db/database.ts'
import { selectList, sql, statement, type ValuesOf } from '../db/sql.ts'
import { taskColumns } from './store.ts'

const exportedColumns = { ...taskColumns, deleted_at: 'timestamptz?' } as const

/** A task of the list or of the trash, as an export has it. */
export type ExportedTask = ValuesOf<typeof exportedColumns>

const exportPage = statement(
  'export_tasks',
  { from: 'uuid', limit: 'int8' },
  exportedColumns,
  ({ user_id, from, limit }) => sql`
  select ${selectList(exportedColumns, 't')} from app.tasks t
  where t.user_id = ${user_id} and t.id >= ${from} order by t.id limit ${limit}`,
)

// What a line leaves out is null here. The lateral look-up goes to the index for each line, however many tasks there are.
const importPage = statement(
  'import_tasks',
  { tasks: 'json' },
  { created: 'int8', updated: 'int8' },
  ({ user_id, tasks }) => sql`
  with moment as materialized (select clock_timestamp() as now),
  compared as materialized (
    select i.id, i.title, i.description, i.completed, i.deleted_at, i.position, t.id is null as is_new,
      case when i.completed then coalesce(i.completed_at, t.completed_at, m.now) end as completed_at,
      coalesce(i.created_at, t.created_at, m.now) as created_at,
      coalesce(i.updated_at, greatest(m.now, t.updated_at + interval '1 millisecond')) as updated_at,
      (i.title, i.description, i.completed, i.deleted_at,
        case when i.completed then coalesce(i.completed_at, t.completed_at, m.now) end,
        coalesce(i.created_at, t.created_at), coalesce(i.updated_at, t.updated_at))
      is distinct from (t.title, t.description, t.completed, t.deleted_at, t.completed_at, t.created_at, t.updated_at)
        as differs
    from moment m, rows from (
      json_to_recordset(${tasks}) as (id uuid, title text, description text, completed boolean,
        completed_at timestamptz, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz)
    ) with ordinality as i
      (id, title, description, completed, completed_at, created_at, updated_at, deleted_at, position)
    left join lateral (
      select * from app.tasks t where t.user_id = ${user_id} and t.id = i.id offset 0) t on true),
  changing as materialized (
    select c.*, row_number() over (order by c.position) as place from compared c where c.is_new or c.differs),
  counted as (
    update app.change_counters c set version = c.version + n.changes
    from (select count(*) as changes from changing) n
    where c.user_id = ${user_id} and n.changes > 0
    returning c.version - n.changes as before),
  forgotten as (
    delete from app.deletions d using changing c where d.user_id = ${user_id} and d.id = c.id and c.is_new),
  written as (
    insert into app.tasks
      (user_id, id, title, description, completed, completed_at, created_at, updated_at, deleted_at, version)
    select ${user_id}, c.id, c.title, c.description, c.completed, c.completed_at, c.created_at, c.updated_at,
      c.deleted_at, n.before + c.place
    from counted n, changing c
    on conflict (user_id, id) do update set
      title = excluded.title, description = excluded.description, completed = excluded.completed,
      completed_at = excluded.completed_at, created_at = excluded.created_at, updated_at = excluded.updated_at,
      deleted_at = excluded.deleted_at, version = excluded.version)
  select count(*) filter (where is_new) as created, count(*) filter (where not is_new) as updated from changing`,
)

// The first statement of an erasure: it locks the counter as it moves it, and no row is made where none was.
const expireCursors = statement(
  'expire_cursors',
  {},
  { version: 'int8' },
  ({ user_id }) => sql`
  update app.change_counters set version = version + 1, expired_before = version + 1
  where user_id = ${user_id} returning version`,
)

const removed = { removed: 'int8', last: 'uuid?' } as const

// Each begins where the one before it ended, so that no one steps over what those before it have removed. By an array the
// rows are looked up in the index; a join may read all that the user has.

const eraseTasks = statement(
  'erase_tasks',
  { from: 'uuid', limit: 'int8' },
  removed,
  ({ user_id, from, limit }) => sql`
  with doomed as materialized (
    select t.id from app.tasks t where t.user_id = ${user_id} and t.id >= ${from} order by t.id limit ${limit}),
  removed as (
    delete from app.tasks t where t.user_id = ${user_id} and t.id = any(array(select d.id from doomed d)) returning 1)
  select (select count(*) from removed) as removed, (select max(d.id::text collate "C")::uuid from doomed d) as last`,
)

const eraseDeletions = statement(
  'erase_deletions',
  { from: 'uuid', limit: 'int8' },
  removed,
  ({ user_id, from, limit }) => sql`
  with doomed as materialized (
    select t.id from app.deletions t where t.user_id = ${user_id} and t.id >= ${from} order by t.id limit ${limit}),
  removed as (
    delete from app.deletions t where t.user_id = ${user_id} and t.id = any(array(select d.id from doomed d)) returning 1)
  select (select count(*) from removed) as removed, (select max(d.id::text collate "C")::uuid from doomed d) as last`,
)

const eraseKeys = statement(
  'erase_idempotency_keys',
  { from: 'text', limit: 'int8' },
  { removed: 'int8', last: 'text?' },
  ({ user_id, from, limit }) => sql`
  with doomed as materialized (
    select k.key from app.idempotency_keys k where k.user_id = ${user_id} and k.key >= ${from}
    order by k.key limit ${limit}),
  removed as (
    delete from app.idempotency_keys k
    where k.user_id = ${user_id} and k.key = any(array(select d.key from doomed d)) returning 1)
  select (select count(*) from removed) as removed, (select max(d.key) from doomed d) as last`,
)

/** The least of all ids. */
export const firstId = '00000000-0000-0000-0000-000000000000'

/** The user's tasks, those in the trash too, by id, from an id on. */
export function listForExport(scope: UserScope, from: string, limit: number): Promise<ExportedTask[]> {
  return scope.run(exportPage, { from, limit })
}

/** A task to import; what is null in place of a time or, of a completed task, of completed_at was left out. */
export type ImportRecord = {
  readonly id: string
  readonly title: string
  readonly description: string | null
  readonly completed: boolean
  readonly completed_at: string | null
  readonly created_at: string | null
  readonly updated_at: string | null
  readonly deleted_at: string | null
}

/**
 * Creates the tasks whose ids are new and replaces those whose content differs, at consecutive versions in their order.
 * The ids must differ, and the transaction must hold the lock of lockChanges.
 *
 * @returns how many it created and replaced; it left the others alone
 */
export async function importRecords(
  scope: TransactionScope,
  tasks: readonly ImportRecord[],
): Promise<{ readonly created: number; readonly updated: number }> {
  const [row] = await scope.run(importPage, { tasks })
  return row ?? { created: 0, updated: 0 }
}

/** Moves the user's counter, if there is one, and with it the end of every cursor so far; locks it. */
export async function expireAllCursors(scope: TransactionScope): Promise<void> {
  await scope.run(expireCursors, {})
}

/** Removes for good some of the user's tasks, from an id on; tells how many, and where to go on, or null at the end. */
export async function removeSomeTasks(scope: TransactionScope, from: string, limit: number) {
  return progress(await scope.run(eraseTasks, { from, limit }))
}

/** The same for what the change feed remembers of tasks that are gone. */
export async function removeSomeDeletions(scope: TransactionScope, from: string, limit: number) {
  return progress(await scope.run(eraseDeletions, { from, limit }))
}

/** The same for idempotency keys, from a key on. */
export async function removeSomeKeys(scope: TransactionScope, from: string, limit: number) {
  return progress(await scope.run(eraseKeys, { from, limit }))
}

function progress(rows: readonly { readonly removed: number; readonly last: string | null }[]) {
  const [row] = rows
  if (row === undefined) throw new Error('The erasure returned no row')
  return row
}
