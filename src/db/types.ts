/** How the text form of each PostgreSQL type that the service uses becomes a value. */
export const parsers = {
  uuid: (text: string) => text,
  text: (text: string) => text,
  bool: (text: string) => text === 't',
  int4: (text: string) => Number(text),
  int8: (text: string) => Number(text),
  timestamptz: toRfc3339,
  json: (text: string): unknown => JSON.parse(text),
  /** A parameter only: nothing returns one. */
  _text: (text: string): readonly string[] => {
    throw new Error(`No statement returns an array of text: ${text.length} characters`)
  },
  _int8: (text: string): readonly number[] => text.slice(1, -1).split(',').filter(Boolean).map(Number),
} as const

export type Parsers = typeof parsers
export type PostgresType = keyof Parsers

/** The time that was read last. A task that was never changed has one twice: it is kept once, and not turned again. */
const last = { text: '', time: '' }

/**
 * PostgreSQL's ISO output for a timestamptz as RFC 3339 in UTC with milliseconds.
 *
 * @param text e.g. `2026-11-23 02:08:44.46+00`
 */
export function toRfc3339(text: string): string {
  if (text !== last.text) {
    last.time = turn(text)
    last.text = text
  }
  return last.time
}

/** In UTC, which the scope sets for every statement, it is a matter of two characters, five times cheaper than a Date. */
function turn(text: string): string {
  if (!text.endsWith('+00') || text.length > 26) return new Date(text).toISOString()
  const seconds = `${text.slice(0, 10)}T${text.slice(11, 19)}`
  const milliseconds = text.length > 22 ? text.slice(20, -3).padEnd(3, '0') : '000'
  return `${seconds}.${milliseconds}Z`
}

/** A value in the text form that PostgreSQL reads for its type, or null. */
export function toText(type: PostgresType, value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (type === 'json') return JSON.stringify(value)
  if (!Array.isArray(value)) return String(value)
  // PostgreSQL documentation, 8.15.6 Array Input and Output Syntax.
  return type === '_text'
    ? `{${value.map((each) => `"${String(each).replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`
    : `{${value.join(',')}}`
}
