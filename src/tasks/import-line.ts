import type { ErrorDetail } from '../errors.ts'
import { newId } from '../lib/ids.ts'
import { parseTime } from '../lib/rfc3339.ts'
import { parseJsonObject } from '../lib/strict-json.ts'
import type { ImportRecord } from './transfer-store.ts'

/** A line of an import as the schema lets it through; user_id and version are not looked at. */
export type ImportLine = {
  readonly id?: string
  readonly title: string
  readonly description?: string | null
  readonly completed?: boolean
  readonly completed_at?: string | null
  readonly created_at?: string
  readonly updated_at?: string
  readonly deleted_at?: string | null
}

/** The problems of a value, by the schema of a line; none when it is an ImportLine. */
export type LineCheck = (value: unknown) => readonly ErrorDetail[]

export type ReadLine =
  | { readonly ok: true; readonly record: ImportRecord }
  | { readonly ok: false; readonly problems: readonly ErrorDetail[] }

const times = ['completed_at', 'created_at', 'updated_at', 'deleted_at'] as const

/** Reads one line of an import: strict JSON, then the schema, then what a schema cannot say. */
export function readImportLine(bytes: Buffer, check: LineCheck): ReadLine {
  const parsed = parseJsonObject(bytes)
  if (!parsed.ok) return { ok: false, problems: [{ path: '', code: 'json', message: parsed.reason }] }
  const schemaProblems = check(parsed.value)
  if (schemaProblems.length > 0) return { ok: false, problems: schemaProblems }
  // The schema has just let it through, and trimmed it.
  const line = parsed.value as ImportLine
  const problems = [...timeProblems(line), ...completionProblems(line)]
  return problems.length > 0 ? { ok: false, problems } : { ok: true, record: toRecord(line) }
}

function timeProblems(line: ImportLine): ErrorDetail[] {
  return times.flatMap((name) => {
    const text = line[name] ?? null
    if (text === null || parseTime(text) !== undefined) return []
    const message = 'must be an RFC 3339 time of the years 0001 to 9998, with at most milliseconds'
    return [{ path: `/${name}`, code: 'format', message }]
  })
}

function completionProblems({ completed = false, completed_at: at }: ImportLine): ErrorDetail[] {
  if (at === undefined || completed === (at !== null)) return []
  const message = completed
    ? 'must be a time, or left out, when completed is true'
    : 'must be null, or left out, when completed is not true'
  return [{ path: '/completed_at', code: 'inconsistent', message }]
}

/** Defaults as in a create; a line without deleted_at is a task of the list, not of the trash. */
function toRecord(line: ImportLine): ImportRecord {
  const time = (text: string | null | undefined) => (text == null ? null : (parseTime(text) ?? null))
  return {
    id: line.id?.toLowerCase() ?? newId(),
    title: line.title,
    description: line.description ?? null,
    completed: line.completed ?? false,
    completed_at: time(line.completed_at),
    created_at: time(line.created_at),
    updated_at: time(line.updated_at),
    deleted_at: time(line.deleted_at),
  }
}
