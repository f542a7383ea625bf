const form = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,3}))?(Z|[+-]\d\d:\d\d)$/i

/** The years that times may be in: four digits, and room for the changes to come. */
const [earliest, latest] = ['0001-01-01T00:00:00.000Z', '9998-12-31T23:59:59.999Z']

/**
 * Reads a time (RFC 3339 §5.6) with at most milliseconds, so that none is lost, in the years 0001 to 9998.
 *
 * @returns it in UTC with milliseconds, or undefined when it is none: a day or an offset that does not exist, a leap
 * second, finer than a millisecond
 */
export function parseTime(text: string): string | undefined {
  const [, date, clock, fraction = '', offset = ''] = form.exec(text) ?? []
  if (date === undefined || clock === undefined) return undefined
  // Without the offset first: a Date takes 30 February for 2 March.
  const local = `${date}T${clock}.${fraction.padEnd(3, '0')}Z`
  if (toIso(local) !== local) return undefined
  const time = /^z$/i.test(offset) ? local : toIso(`${local.slice(0, -1)}${offset}`)
  return time !== undefined && time >= earliest && time <= latest ? time : undefined
}

function toIso(text: string): string | undefined {
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString()
}
