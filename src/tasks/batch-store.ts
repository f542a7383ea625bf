import type { TransactionScope, UserScope } from '../db/database.ts'
import { call, selectList, sql, statement } from '../db/sql.ts'
import { type Change, type ChangeCall, changeColumns, lockCall, taskColumns, toChange } from './store.ts'
import type { NewTask } from './task.ts'

const createMany = statement(
  'create_tasks',
  { tasks: 'json' },
  changeColumns,
  ({ user_id, tasks }) => sql`
  with items as materialized (
    select item.* from rows from (
      json_to_recordset(${tasks}) as (id uuid, title text, description text, completed boolean)
    ) with ordinality as item (id, title, description, completed, position)),
  existing as materialized (
    select t.* from items i cross join lateral (
      select ${selectList(taskColumns, 't')}, t.deleted_at
      from app.tasks t where t.user_id = ${user_id} and t.id = i.id offset 0) t),
  fresh as materialized (
    select i.*, row_number() over (order by i.position) as place from items i
    where not exists (select from existing e where e.id = i.id)),
  counter as (
    insert into app.change_counters as c (user_id, version) select ${user_id}, count(*) from fresh
    on conflict (user_id) do update set version = c.version + excluded.version
    returning c.version - (select count(*) from fresh) as before),
  moment as materialized (select before, clock_timestamp() as now from counter),
  remembered as (
    delete from app.deletions d using fresh f where d.user_id = ${user_id} and d.id = f.id),
  created as (
    insert into app.tasks as t
      (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
    select ${user_id}, f.id, f.title, f.description, f.completed, case when f.completed then now end, now, now,
      before + f.place
    from moment, fresh f
    returning ${selectList(taskColumns, 't')})
  select ${selectList(taskColumns, 'x')}, 'changed' as outcome from created x
  union all
  select ${selectList(taskColumns, 'x')}, case when x.deleted_at is null then 'unchanged' else 'in_trash' end
  from existing x`,
)

/**
 * Inserts many tasks, at consecutive versions in their order, and finds those whose ids exist. The ids must differ, and
 * the transaction must hold the lock of lockChanges.
 *
 * @returns what became of each, in no order
 */
export async function insertTasks(scope: TransactionScope, tasks: readonly NewTask[]): Promise<Change[]> {
  return (await scope.runAll([insertCall(tasks)]))[0].map(toChange)
}

/** The statement of insertTasks. */
export function insertCall(tasks: readonly NewTask[]): ChangeCall {
  return call(createMany, { tasks })
}

/**
 * Makes changes one after the other, in one round trip and one transaction, whose first statement locks the user's
 * counter: each sees what those before it did, and no other writer of the user comes in between.
 *
 * @returns the tasks that each met, as the functions of store.ts tell them
 */
export async function makeChanges(scope: UserScope, calls: readonly ChangeCall[]): Promise<Change[][]> {
  if (calls.length === 0) return []
  const [, ...rows] = await scope.runAll([lockCall, ...calls])
  return rows.map((each) => each.map(toChange))
}
