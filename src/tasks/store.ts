import type { TransactionScope, UserScope } from '../db/database.ts'
import { type Call, call, selectList, sql, statement, type ValuesOf } from '../db/sql.ts'
import type { NewTask, Task, TaskChanges } from './task.ts'

/** The columns of a task, as every statement that returns one names them. */
export const taskColumns = {
  id: 'uuid',
  user_id: 'text',
  title: 'text',
  description: 'text?',
  completed: 'bool',
  completed_at: 'timestamptz?',
  created_at: 'timestamptz',
  updated_at: 'timestamptz',
  version: 'int8',
} as const

/** What a change did: it wrote, had nothing to write, or met another version than If-Match asks for. */
export const changeColumns = { ...taskColumns, outcome: 'text' } as const

type ChangeRow = ValuesOf<typeof changeColumns>

/**
 * Whether a task is none of the trash, said so that the planner does not take one of the indexes of the lists, which hold
 * such tasks alone and have the id as their last column: on a table without statistics they look as good to it as the
 * primary key, and one task is then looked for among all of the user's.
 */
const isLive = sql`coalesce(t.deleted_at is null, false)`

const get = statement(
  'get_task',
  { id: 'uuid' },
  taskColumns,
  ({ user_id, id }) => sql`
  select ${selectList(taskColumns, 't')} from app.tasks t where t.user_id = ${user_id} and t.id = ${id}
    and ${isLive}`,
)

/** Makes the user's counter where there is none, and locks it for the rest of the transaction. */
export const lockCounter = statement(
  'lock_counter',
  {},
  { version: 'int8' },
  ({ user_id }) => sql`
  insert into app.change_counters as c (user_id, version) values (${user_id}, 0)
  on conflict (user_id) do update set version = c.version
  returning c.version`,
)

// A create finds the task that its id names already, in the list or in the trash, instead of failing: a failure would
// end the transaction that it may be part of. What another writer commits between this statement's snapshot and its lock
// it cannot see; then it writes nothing and finds nothing, and is run again.

const create = statement(
  'create_task',
  { id: 'uuid', title: 'text', description: 'text?', completed: 'bool' },
  changeColumns,
  ({ user_id, id, title, description, completed }) => sql`
  with existing as materialized (
    select ${selectList(taskColumns, 't')}, t.deleted_at from app.tasks t where t.user_id = ${user_id} and t.id = ${id}),
  counter as (
    insert into app.change_counters as c (user_id, version) values (${user_id}, 1)
    on conflict (user_id) do update set version = c.version + 1 where not exists (select from existing)
    returning c.version),
  moment as materialized (select version, clock_timestamp() as now from counter),
  remembered as (delete from app.deletions d using counter c where d.user_id = ${user_id} and d.id = ${id}),
  created as (
    insert into app.tasks as t
      (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
    select ${user_id}, ${id}, ${title}, ${description}, ${completed}, case when ${completed} then now end, now, now, version
    from moment
    on conflict (user_id, id) do nothing
    returning ${selectList(taskColumns, 't')})
  select ${selectList(taskColumns, 'x')}, 'changed' as outcome from created x
  union all
  select ${selectList(taskColumns, 'x')}, case when x.deleted_at is null then 'unchanged' else 'in_trash' end
  from existing x where not exists (select from created)`,
)

// The changes lock the counter row first, then the task: always in this order, so writers of one user queue and
// never deadlock. FOR UPDATE on both makes PostgreSQL read the two rows again once the locks are held (EvalPlanQual),
// so `current` is what the writer before left behind, not what this statement's snapshot saw. if_match holds the
// versions that the client allows, or null for any.

const update = statement(
  'update_task',
  {
    id: 'uuid',
    title: 'text?',
    set_description: 'bool',
    description: 'text?',
    completed: 'bool?',
    toggle: 'bool',
    if_match: '_int8?',
  },
  changeColumns,
  ({ user_id, id, title, set_description, description, completed, toggle, if_match }) => sql`
  with current as (
    select ${selectList(taskColumns, 't')}, c.version + 1 as next_version
    from app.change_counters c join app.tasks t on t.user_id = c.user_id
    where c.user_id = ${user_id} and t.user_id = ${user_id} and t.id = ${id} and ${isLive}
    for update of c, t),
  wanted as (
    select c.*, greatest(clock_timestamp(), c.updated_at + interval '1 millisecond') as now,
      coalesce(c.version = any(${if_match}), true) as matches,
      coalesce(${title}, c.title) as new_title,
      case when ${set_description} then ${description} else c.description end as new_description,
      case when ${toggle} then not c.completed else coalesce(${completed}, c.completed) end as new_completed
    from current c),
  changed as (
    update app.tasks t set
      title = w.new_title, description = w.new_description, completed = w.new_completed,
      completed_at = case when not w.new_completed then null when w.completed then w.completed_at else w.now end,
      updated_at = w.now, version = w.next_version
    from wanted w
    where t.user_id = ${user_id} and t.id = ${id} and w.matches
      and (w.new_title, w.new_description, w.new_completed) is distinct from (w.title, w.description, w.completed)
    returning ${selectList(taskColumns, 't')}),
  counted as (
    update app.change_counters c set version = t.version from changed t where c.user_id = ${user_id})
  select ${selectList(taskColumns, 'x')}, 'changed' as outcome from changed x
  union all
  select ${selectList(taskColumns, 'w')}, case when w.matches then 'unchanged' else 'mismatch' end
  from wanted w where not exists (select from changed)`,
)

const remove = statement(
  'delete_task',
  { id: 'uuid', if_match: '_int8?' },
  changeColumns,
  ({ user_id, id, if_match }) => sql`
  with current as (
    select ${selectList(taskColumns, 't')}, c.version + 1 as next_version,
      greatest(clock_timestamp(), t.updated_at + interval '1 millisecond') as now,
      coalesce(t.version = any(${if_match}), true) as matches
    from app.change_counters c join app.tasks t on t.user_id = c.user_id
    where c.user_id = ${user_id} and t.user_id = ${user_id} and t.id = ${id} and ${isLive}
    for update of c, t),
  removed as (
    update app.tasks t set deleted_at = x.now, updated_at = x.now, version = x.next_version
    from current x
    where t.user_id = ${user_id} and t.id = ${id} and x.matches
    returning t.version),
  counted as (
    update app.change_counters c set version = r.version from removed r where c.user_id = ${user_id})
  select ${selectList(taskColumns, 'x')}, case when x.matches then 'changed' else 'mismatch' end as outcome
  from current x`,
)

const outcomes = ['changed', 'unchanged', 'mismatch', 'in_trash'] as const

/**
 * What a change did: it wrote, had nothing to write (a create: the task was there), met a version that If-Match does not
 * name, or (a create) met the id in the trash.
 */
export type ChangeOutcome = (typeof outcomes)[number]

/** The task as the change left it (a delete: as it was before) and what the change did. */
export type Change = { readonly outcome: ChangeOutcome; readonly task: Task }

/** A statement that changes tasks, with its values; toChange reads its rows. */
export type ChangeCall = Call<typeof changeColumns>

/** A row of a statement that changes tasks. */
export function toChange({ outcome, ...task }: ChangeRow): Change {
  const known = outcomes.find((each) => each === outcome)
  if (known === undefined) throw new Error(`The store answered with the outcome ${outcome}`)
  return { outcome: known, task }
}

/**
 * Locks the user's counter for the rest of the transaction, with its next round trip: the first thing that a
 * transaction of several writes does, so that writers of one user never wait for each other in a circle.
 */
export function lockChanges(scope: TransactionScope): void {
  scope.queue(lockCall)
}

/** The statement of lockChanges, for a runAll that is a transaction by itself. */
export const lockCall = call(lockCounter, {})

/** The user's task with this id, or undefined. */
export async function findTask(scope: UserScope, id: string): Promise<Task | undefined> {
  return (await scope.runShort(call(get, { id })))[0]
}

/** Inserts a task at the user's next version, or finds the one that has its id. */
export async function insertTask(scope: UserScope, task: NewTask): Promise<Change> {
  const [row] = await scope.runShort(call(create, task))
  if (row !== undefined) return toChange(row)
  const [found] = await scope.runShort(call(create, task))
  if (found === undefined) throw new Error('The insert neither wrote nor found the task')
  return toChange(found)
}

/**
 * Applies changes to a task.
 *
 * @param ifMatch the versions that the client allows, or null for any
 * @returns what happened, or undefined when the user has no such task
 */
export async function changeTask(
  scope: UserScope,
  id: string,
  changes: TaskChanges,
  ifMatch: readonly number[] | null,
): Promise<Change | undefined> {
  return runChange(scope, changeCall(id, changes, ifMatch))
}

/** The statement of changeTask. */
export function changeCall(id: string, changes: TaskChanges, ifMatch: readonly number[] | null): ChangeCall {
  const toggle = changes.completed === 'toggle'
  return call(update, {
    id,
    title: changes.title ?? null,
    set_description: changes.description !== undefined,
    description: changes.description ?? null,
    completed: typeof changes.completed === 'boolean' ? changes.completed : null,
    toggle,
    if_match: ifMatch,
  })
}

/** Moves a task to the trash, under the same terms as changeTask. */
export async function removeTask(
  scope: UserScope,
  id: string,
  ifMatch: readonly number[] | null,
): Promise<Change | undefined> {
  return runChange(scope, removeCall(id, ifMatch))
}

/** The statement of removeTask. */
export function removeCall(id: string, ifMatch: readonly number[] | null): ChangeCall {
  return call(remove, { id, if_match: ifMatch })
}

async function runChange(scope: UserScope, change: ChangeCall): Promise<Change | undefined> {
  const [row] = await scope.runShort(change)
  return row && toChange(row)
}
