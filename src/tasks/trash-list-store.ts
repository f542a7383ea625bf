import type { UserScope } from '../db/database.ts'
import { call, sql, statement, type ValuesOf } from '../db/sql.ts'
import type { Place } from './list-store.ts'
import {
  type CountedPage,
  pageColumns,
  pageParameters,
  readPage,
  selectPage,
  selectTotal,
  totalColumns,
  totalParameters,
} from './page-store.ts'
import type { TrashedTask } from './task.ts'
import { toTrashed, trashedColumns } from './trash-store.ts'

const inTrash = sql`t.deleted_at is not null`

const list = statement(
  'list_trash',
  { ...pageParameters, deleted_at: 'timestamptz', id: 'uuid' },
  pageColumns(trashedColumns),
  (p) =>
    selectPage(
      p,
      trashedColumns,
      sql`${inTrash} and (t.deleted_at, t.id) < (${p.deleted_at}, ${p.id})`,
      sql`order by t.deleted_at desc, t.id desc`,
    ),
)

const total = statement('count_trash', totalParameters, totalColumns, (p) => selectTotal(p, inTrash))

function toFound(rows: readonly ValuesOf<typeof list.columns>[]): CountedPage<TrashedTask> {
  const { counter, tasks } = readPage<typeof trashedColumns>(rows)
  return { counter, tasks: tasks.map(toTrashed) }
}

/** Comes before every place. */
const newest: Place = { value: 'infinity', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }

export type FoundTrash = CountedPage<TrashedTask> & { readonly total: number | undefined }

/**
 * A page of the user's trash, what was deleted last first.
 *
 * @param page.after begins after this place, or at the newest when undefined
 * @param page.limit most tasks to return
 * @param page.known the counters at which the client knows the list, null for any: no task is read at one of them
 * @param page.count whether to count the whole trash too, in the same round trip
 * @returns the user's counter and the tasks at one moment; the total is as new or newer
 */
export async function listTrash(
  scope: UserScope,
  page: {
    readonly after: Place | undefined
    readonly limit: number
    readonly known: readonly number[] | null
    readonly count: boolean
  },
): Promise<FoundTrash> {
  const { after = newest, limit, known, count } = page
  const listing = call(list, { limit, known, deleted_at: after.value, id: after.id })
  if (!count) return { ...toFound(await scope.runShort(listing)), total: undefined }
  const [rows, [row]] = await scope.runAll([listing, call(total, { known })])
  const found = toFound(rows)
  if (row === undefined) return { ...found, total: 0 }
  // Nothing was counted if a write in between brought the trash to where the client says it is: then it has that.
  const isKnown = known === null || known.includes(row.counter)
  return isKnown ? { counter: row.counter, tasks: [], total: 0 } : { ...found, total: row.total }
}
