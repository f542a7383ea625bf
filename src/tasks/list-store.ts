import type { UserScope } from '../db/database.ts'
import { selectList, sql, statement } from '../db/sql.ts'
import { taskColumns } from './store.ts'
import type { Task } from './task.ts'

/** A place in the list: the task after which the next page begins. */
export type ListPosition = { readonly createdAt: string; readonly id: string }

const pageParameters = { limit: 'int8' } as const
const positionParameters = { created_at: 'timestamptz', id: 'uuid' } as const
const newestFirst = sql`order by t.created_at desc, t.id desc`
const columns = selectList(taskColumns, 't')

// One statement a form of the list, so that each has the plan of its own index.

const list = statement(
  'list_tasks',
  pageParameters,
  taskColumns,
  (p) => sql`
  select ${columns} from app.tasks t where t.deleted_at is null and t.user_id = ${p.user_id} ${newestFirst} limit ${p.limit}`,
)

const listAfter = statement(
  'list_tasks_after',
  { ...pageParameters, ...positionParameters },
  taskColumns,
  (p) => sql`
  select ${columns} from app.tasks t
  where t.deleted_at is null and t.user_id = ${p.user_id} and (t.created_at, t.id) < (${p.created_at}, ${p.id})
  ${newestFirst} limit ${p.limit}`,
)

const listByCompleted = statement(
  'list_tasks_by_completed',
  { ...pageParameters, completed: 'bool' },
  taskColumns,
  (p) => sql`
  select ${columns} from app.tasks t where t.deleted_at is null and t.user_id = ${p.user_id} and t.completed = ${p.completed}
  ${newestFirst} limit ${p.limit}`,
)

const listByCompletedAfter = statement(
  'list_tasks_by_completed_after',
  { ...pageParameters, completed: 'bool', ...positionParameters },
  taskColumns,
  (p) => sql`
  select ${columns} from app.tasks t
  where t.deleted_at is null and t.user_id = ${p.user_id} and t.completed = ${p.completed}
    and (t.created_at, t.id) < (${p.created_at}, ${p.id})
  ${newestFirst} limit ${p.limit}`,
)

/**
 * The user's tasks, newest first.
 *
 * @param page.completed only tasks with this value, or all when undefined
 * @param page.after begins after this place, or at the newest when undefined
 * @param page.limit most tasks to return
 */
export function listTasks(
  scope: UserScope,
  page: { completed: boolean | undefined; after: ListPosition | undefined; limit: number },
): Promise<Task[]> {
  const { completed, after, limit } = page
  if (completed === undefined) {
    return after === undefined
      ? scope.run(list, { limit })
      : scope.run(listAfter, { limit, created_at: after.createdAt, id: after.id })
  }
  return after === undefined
    ? scope.run(listByCompleted, { limit, completed })
    : scope.run(listByCompletedAfter, { limit, completed, created_at: after.createdAt, id: after.id })
}
