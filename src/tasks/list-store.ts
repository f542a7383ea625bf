import type { UserScope } from '../db/database.ts'
import { call, type Fragment, sql, statement } from '../db/sql.ts'
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
import { taskColumns } from './store.ts'
import type { Task } from './task.ts'

// A list is a span of the index that has its order: from one place to another, both left out, read in one direction. A
// cursor and the times that bound the sort column narrow the span; what else is asked for filters the tasks in it. So
// there is one statement for each index and direction, and each has the plan of its own index.

const columnOf = {
  created_at: sql`t.created_at`,
  updated_at: sql`t.updated_at`,
  title: sql`t.title`,
} as const
const keywordOf = { ascending: sql`asc`, descending: sql`desc` } as const

export type SortColumn = keyof typeof columnOf
export type Direction = keyof typeof keywordOf

/** Times that bound a list, both left out: RFC 3339 in UTC with milliseconds, or PostgreSQL's infinity. */
export type TimeRange = { readonly after: string | undefined; readonly before: string | undefined }

/** Which tasks, in which order. */
export type List = {
  readonly sort: SortColumn
  readonly direction: Direction
  readonly completed: boolean | undefined
  /** Text that the title or the description must hold, whatever its case. */
  readonly q: string | undefined
  readonly created: TimeRange
  readonly updated: TimeRange
}

/** A place in a list: the sort column and the id of a task, that there may be no more. */
export type Place = { readonly value: string; readonly id: string }

const firstId = '00000000-0000-0000-0000-000000000000'
const lastId = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
/** Comes after every title: the last code point, once more than a title can be long. */
const afterTitles = '\u{10ffff}'.repeat(256)

const filterParameters = {
  created_after: 'timestamptz?',
  created_before: 'timestamptz?',
  updated_after: 'timestamptz?',
  updated_before: 'timestamptz?',
  q: 'text?',
} as const

const completedParameter = { completed: 'bool' } as const

type Placeholders<Name extends string> = { readonly [K in Name]: Fragment }

/** The span, as a condition on an index: of tasks that are not in the trash. */
function withinSpan(column: SortColumn, p: Placeholders<'from' | 'from_id' | 'to' | 'to_id'>): Fragment {
  const value = columnOf[column]
  return sql`t.deleted_at is null
    and (${value}, t.id) > (${p.from}, ${p.from_id}) and (${value}, t.id) < (${p.to}, ${p.to_id})`
}

/** What is not asked for is null, and lets every task pass. */
function passesFilter(p: Placeholders<keyof typeof filterParameters>): Fragment {
  const q = sql`lower(${p.q} collate app.unicode)`
  return sql`coalesce(t.created_at > ${p.created_after} and t.created_at < ${p.created_before}
    and t.updated_at > ${p.updated_after} and t.updated_at < ${p.updated_before}
    and (${p.q}::text is null or strpos(lower(t.title collate app.unicode), ${q}) > 0
      or strpos(lower(coalesce(t.description, '') collate app.unicode), ${q}) > 0), true)`
}

/** The type of the sort column, and so of the ends of a span. */
function spanParameters(column: SortColumn) {
  const type: 'text' | 'timestamptz' = column === 'title' ? 'text' : 'timestamptz'
  return { from: type, from_id: 'uuid', to: type, to_id: 'uuid' } as const
}

const columns = pageColumns(taskColumns)

function declarePages(column: SortColumn, direction: Direction) {
  const keyword = keywordOf[direction]
  const order = sql`order by ${columnOf[column]} ${keyword}, t.id ${keyword}`
  const parameters = { ...pageParameters, ...spanParameters(column), ...filterParameters }
  const name = `by_${column}_${direction}`
  const all = statement(`list_${name}`, parameters, columns, (p) => {
    return selectPage(p, taskColumns, sql`${withinSpan(column, p)} and ${passesFilter(p)}`, order)
  })
  const byCompleted = statement(
    `list_completed_${name}`,
    { ...parameters, ...completedParameter },
    columns,
    (p) => {
      const where = sql`t.completed = ${p.completed} and ${withinSpan(column, p)} and ${passesFilter(p)}`
      return selectPage(p, taskColumns, where, order)
    },
  )
  return { all, byCompleted }
}

const pages = {
  created_at: {
    ascending: declarePages('created_at', 'ascending'),
    descending: declarePages('created_at', 'descending'),
  },
  updated_at: {
    ascending: declarePages('updated_at', 'ascending'),
    descending: declarePages('updated_at', 'descending'),
  },
  title: { ascending: declarePages('title', 'ascending'), descending: declarePages('title', 'descending') },
} as const

// The total needs no order. Where a span is all that is asked for, the index alone has the answer, and no task is read.

function declareTotals(column: 'created_at' | 'updated_at') {
  const parameters = { ...totalParameters, ...spanParameters(column) }
  const filtered = { ...parameters, ...filterParameters }
  return {
    all: statement(`count_by_${column}`, parameters, totalColumns, (p) => {
      return selectTotal(p, withinSpan(column, p))
    }),
    byCompleted: statement(
      `count_completed_by_${column}`,
      { ...parameters, ...completedParameter },
      totalColumns,
      (p) => selectTotal(p, sql`t.completed = ${p.completed} and ${withinSpan(column, p)}`),
    ),
    filtered: statement(`count_filtered_by_${column}`, filtered, totalColumns, (p) => {
      return selectTotal(p, sql`${withinSpan(column, p)} and ${passesFilter(p)}`)
    }),
    filteredByCompleted: statement(
      `count_completed_filtered_by_${column}`,
      { ...filtered, ...completedParameter },
      totalColumns,
      (p) => {
        const where = sql`t.completed = ${p.completed} and ${withinSpan(column, p)} and ${passesFilter(p)}`
        return selectTotal(p, where)
      },
    ),
  }
}

const totals = { created_at: declareTotals('created_at'), updated_at: declareTotals('updated_at') } as const

function spanOf(list: List, column: SortColumn, after?: Place) {
  const { created, updated } = list
  const ranges = { created_at: created, updated_at: updated, title: { after: '', before: afterTitles } }
  const { after: from = '-infinity', before: to = 'infinity' } = ranges[column]
  const [start, end] = list.direction === 'ascending' ? [after, undefined] : [undefined, after]
  return {
    from: start?.value ?? from,
    from_id: start?.id ?? lastId,
    to: end?.value ?? to,
    to_id: end?.id ?? firstId,
  }
}

function filterOf({ q, created, updated }: List) {
  return {
    created_after: created.after ?? null,
    created_before: created.before ?? null,
    updated_after: updated.after ?? null,
    updated_before: updated.before ?? null,
    q: q ?? null,
  }
}

export type FoundList = CountedPage<Task> & { readonly total: number | undefined }

/**
 * A page of the user's tasks.
 *
 * @param page.after begins after this place, or at the first task when undefined
 * @param page.limit most tasks to return
 * @param page.known the counters at which the client knows the list, null for any: no task is read at one of them
 * @param page.count whether to count the whole list too, in the same round trip
 * @returns the user's counter and the tasks at one moment; the total is as new or newer
 */
export async function listTasks(
  scope: UserScope,
  list: List,
  page: {
    readonly after: Place | undefined
    readonly limit: number
    readonly known: readonly number[] | null
    readonly count: boolean
  },
): Promise<FoundList> {
  const { after, limit, known } = page
  const { all, byCompleted } = pages[list.sort][list.direction]
  const values = { limit, known, ...spanOf(list, list.sort, after), ...filterOf(list) }
  const { completed } = list
  const listing = completed === undefined ? call(all, values) : call(byCompleted, { ...values, completed })
  if (!page.count) {
    const rows = isSpan(list, list.sort) ? await scope.runShort(listing) : (await scope.runAll([listing]))[0]
    return { ...readPage<typeof taskColumns>(rows), total: undefined }
  }
  const [rows, [counted]] = await scope.runAll([listing, callTotal(list, known)])
  const found = readPage<typeof taskColumns>(rows)
  if (counted === undefined) return { ...found, total: 0 }
  // Nothing was counted if a write in between brought the list to where the client says it is: then it has that.
  const isKnown = known === null || known.includes(counted.counter)
  return isKnown ? { counter: counted.counter, tasks: [], total: 0 } : { ...found, total: counted.total }
}

/** The count, along the times that bound the list, if any do. */
function callTotal(list: List, known: readonly number[] | null) {
  const { created, updated, completed } = list
  const column = isBounded(updated) && !isBounded(created) ? 'updated_at' : 'created_at'
  const { all, byCompleted, filtered, filteredByCompleted } = totals[column]
  const values = { known, ...spanOf(list, column) }
  if (isSpan(list, column))
    return completed === undefined ? call(all, values) : call(byCompleted, { ...values, completed })
  const filter = { ...values, ...filterOf(list) }
  return completed === undefined
    ? call(filtered, filter)
    : call(filteredByCompleted, { ...filter, completed })
}

/** Whether a span of the index that has this order is the whole list, so that no task in it is passed over. */
function isSpan({ q, created, updated }: List, column: SortColumn): boolean {
  if (q !== undefined) return false
  return (column === 'created_at' || !isBounded(created)) && (column === 'updated_at' || !isBounded(updated))
}

function isBounded({ after, before }: TimeRange): boolean {
  return after !== undefined || before !== undefined
}
