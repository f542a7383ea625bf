const form = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/

/** The first and the last millisecond of the years that are taken: PostgreSQL has no year 0, RFC 3339 none after 9999. */
const earliestMs = Date.parse('0001-01-01T00:00:00.000Z')
const latestMs = Date.parse('9999-12-31T23:59:59.999Z')

/** The whole milliseconds since 1970 next to a time: the same one twice where it falls on one. */
export type TimeMs = { readonly floorMs: number; readonly ceilMs: number }

/**
 * Reads a time of RFC 3339 §5.6, with any number of decimals. A leap second lies between the last millisecond of its
 * minute and the first of the next: neither Node's clock nor PostgreSQL's ever shows one.
 *
 * @returns undefined when it is malformed, names a day or an hour that there is not, or is outside the years 1 to 9999
 *   in UTC
 */
export function readTime(text: string): TimeMs | undefined {
  const [, year, month, day, hour, minute, second, decimals = '', sign, offsetHour = 0, offsetMinute = 0] =
    form.exec(text) ?? []
  if (+(hour ?? 24) > 23 || +(minute ?? 0) > 59 || +offsetHour > 23 || +offsetMinute > 59) return undefined
  const date = new Date(0)
  // Date.UTC would take the years 0 to 99 for those of the last century.
  date.setUTCFullYear(+(year ?? 0), +(month ?? 0) - 1, +(day ?? 0))
  if (date.getUTCMonth() !== +(month ?? 0) - 1 || date.getUTCDate() !== +(day ?? 0)) return undefined
  date.setUTCHours(+(hour ?? 0), +(minute ?? 0))
  const offsetMinutes = (sign === '-' ? -1 : 1) * (+offsetHour * 60 + +offsetMinute)
  const minuteMs = date.getTime() - offsetMinutes * 60_000
  const time = withinMinute(minuteMs, +(second ?? 0), decimals)
  return time !== undefined && time.floorMs >= earliestMs && time.floorMs <= latestMs ? time : undefined
}

function withinMinute(minuteMs: number, second: number, decimals: string): TimeMs | undefined {
  if (second > 60) return undefined
  if (second === 60) {
    const isLastOfDay = new Date(minuteMs).toISOString().includes('T23:59:')
    return isLastOfDay ? { floorMs: minuteMs + 59_999, ceilMs: minuteMs + 60_000 } : undefined
  }
  const floorMs = minuteMs + second * 1_000 + +decimals.slice(0, 3).padEnd(3, '0')
  return { floorMs, ceilMs: /[1-9]/.test(decimals.slice(3)) ? floorMs + 1 : floorMs }
}

/** The latest time that a task may have: later changes to it must find room after it. */
const latestStoredMs = Date.parse('9998-12-31T23:59:59.999Z')

/**
 * Reads a time that is to be stored: one on a whole millisecond, so that nothing of it is lost, up to the year 9998.
 *
 * @returns it in UTC with milliseconds, or undefined when it is none
 */
export function parseTime(text: string): string | undefined {
  const time = readTime(text)
  if (time === undefined || time.floorMs !== time.ceilMs || time.floorMs > latestStoredMs) return undefined
  return new Date(time.floorMs).toISOString()
}
