import { type Fragment, type Shape, selectList, sql, type ValuesOf } from '../db/sql.ts'

// A page of tasks and the user's counter, in one statement and so of one moment.
//
// The limit is worked out for the row of the counter. Where the client knows the list at this counter it is 0, and
// PostgreSQL reads no task. And as the planner cannot know it, it plans for a tenth of the rows: it goes along the index
// that has the order and stops at the limit, and never reads and sorts all that a user has, whatever the statistics say.

/** What a statement of a page needs besides its own parameters; `known` null for any. */
export const pageParameters = { limit: 'int8', known: '_int8?' } as const

/** What a statement of a total needs besides its own parameters. */
export const totalParameters = { known: '_int8?' } as const

export const totalColumns = { counter: 'int8', total: 'int8' } as const

/** The user's change number when the page was read: each row of a page knows it, beside its task. */
const counter = Symbol('counter')

type Nullable = Extract<Shape[string], `${string}?`>

type Optional<R extends Shape> = {
  readonly [K in keyof R]: R[K] extends Nullable ? R[K] : Extract<Nullable, `${R[K]}?`>
}

/** The columns of a page: those of a task, which are all null where the page is empty, and the counter. */
export function pageColumns<const R extends Shape>(columns: R) {
  const optional = Object.entries(columns).map(([name, type]) => [name, `${type.replace('?', '')}?`])
  // Object.fromEntries forgets the keys and types; they are those of R.
  return { ...(Object.fromEntries(optional) as Optional<R>), [counter]: 'int8' as const }
}

type Placeholders = { readonly user_id: Fragment; readonly known: Fragment }

/**
 * The statement of a page.
 *
 * @param columns those of app.tasks to return
 * @param where what tasks, as `t`, besides being the user's
 * @param order an ORDER BY of `t`, that of an index
 */
export function selectPage(
  { user_id, known, limit }: Placeholders & { readonly limit: Fragment },
  columns: Shape,
  where: Fragment,
  order: Fragment,
): Fragment {
  return sql`
  select ${selectList(columns, 't')}, c.version as counter
  from app.change_counters c left join lateral (
    select ${selectList(columns, 't')} from app.tasks t where t.user_id = ${user_id} and ${where}
    ${order} limit case when ${isKnown(known)} then bigint '0' else ${limit} end) t on true
  where c.user_id = ${user_id}
  ${order}`
}

/** The statement of the number of tasks, on the same terms; no task is read where the client knows the list. */
export function selectTotal({ user_id, known }: Placeholders, where: Fragment): Fragment {
  return sql`
  select c.version as counter, n.total
  from app.change_counters c cross join lateral (
    select count(*) as total from app.tasks t
    where t.user_id = ${user_id} and ${where} and not ${isKnown(known)}) n
  where c.user_id = ${user_id}`
}

function isKnown(known: Fragment): Fragment {
  return sql`coalesce(c.version = any(${known}), true)`
}

/** A page as it was read: the user's change number then, and the tasks. */
export type CountedPage<T> = { readonly counter: number; readonly tasks: readonly T[] }

type PageRow<R extends Shape> = { readonly [counter]: number; readonly id: string | null } & ValuesOf<
  Optional<R>
>

/** Takes the rows of a page of such tasks apart. Without a row there is no counter: the user never wrote anything. */
export function readPage<R extends Shape>(rows: readonly PageRow<R>[]): CountedPage<ValuesOf<R>> {
  const [first] = rows
  // Either the join found no task and all are null, or they are as the table has them.
  const tasks = first === undefined || first.id === null ? [] : (rows as readonly ValuesOf<R>[])
  return { counter: first?.[counter] ?? 0, tasks }
}
