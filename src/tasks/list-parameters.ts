import { readTime } from '../lib/rfc3339.ts'
import type { List, TimeRange } from './list-store.ts'

/** The parameters of a list, valid, as a request has them. */
export type ListParameters = {
  readonly completed?: boolean
  readonly q?: string
  readonly created_after?: string
  readonly created_before?: string
  readonly updated_after?: string
  readonly updated_before?: string
  readonly sort?: keyof typeof orders
}

const orders = {
  created_at: { sort: 'created_at', direction: 'ascending' },
  '-created_at': { sort: 'created_at', direction: 'descending' },
  updated_at: { sort: 'updated_at', direction: 'ascending' },
  '-updated_at': { sort: 'updated_at', direction: 'descending' },
  title: { sort: 'title', direction: 'ascending' },
  '-title': { sort: 'title', direction: 'descending' },
} as const

/** What the parameters ask for: the newest first unless they say otherwise. */
export function readList(parameters: ListParameters): List {
  const { completed, q, sort = '-created_at' } = parameters
  return {
    ...orders[sort],
    completed,
    q,
    created: readRange(parameters.created_after, parameters.created_before),
    updated: readRange(parameters.updated_after, parameters.updated_before),
  }
}

/** Tasks have whole milliseconds: after a finer time means after the one before it, before it means before the next. */
function readRange(after: string | undefined, before: string | undefined): TimeRange {
  return {
    after: after === undefined ? undefined : toText(readTime(after)?.floorMs),
    before: before === undefined ? undefined : toText(readTime(before)?.ceilMs),
  }
}

function toText(timeMs: number | undefined): string {
  if (timeMs === undefined) throw new Error('A time was not validated')
  const text = new Date(timeMs).toISOString()
  // The millisecond after the last of the year 9999.
  return text.startsWith('+') ? 'infinity' : text
}
