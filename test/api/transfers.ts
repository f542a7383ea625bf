import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdirSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { Answer, Client, TestService } from '../support/app.ts'

/** A task as an export has it. */
export type Exported = Readonly<Record<string, unknown>> & { readonly id: string }

export const ndjson = 'application/x-ndjson'

type ImportOptions = { readonly query?: string; readonly headers?: Record<string, string> }

/** Imports lines: objects as JSON, text and bytes as they are. */
export function importLines(
  user: Client,
  lines: readonly (object | string | Buffer)[],
  { query = '', headers = {} }: ImportOptions = {},
): Promise<Answer> {
  const raw = Buffer.concat(
    lines.flatMap((line) => [
      Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)),
      Buffer.from('\n'),
    ]),
  )
  return user.request('POST', `/api/me/import${query}`, {
    raw,
    headers: { 'content-type': ndjson, ...headers },
  })
}

/** Checks the report of an import. */
export function assertReport(
  answer: Answer,
  [created, updated, unchanged]: readonly [number, number, number],
  dryRun = false,
): void {
  assert.equal(answer.status, 200, answer.text)
  const lines = created + updated + unchanged
  assert.deepEqual(answer.body.data, { dry_run: dryRun, lines, created, updated, unchanged })
}

/** The tasks of an export, in its order. */
export async function exportTasks(user: Client): Promise<Exported[]> {
  const answer = await user.get('/api/me/export')
  assert.equal(answer.status, 200, answer.text)
  return readLines(answer.text)
}

export function readLines(text: string): Exported[] {
  assert.ok(text === '' || text.endsWith('\n'))
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

/** A line with everything that an import keeps. */
export function fullLine(fields: Record<string, unknown> = {}): Exported {
  return {
    id: randomUUID(),
    title: 'Imported',
    description: 'With a text',
    completed: true,
    completed_at: '2020-02-29T12:00:00.123Z',
    created_at: '2019-01-01T00:00:00.000Z',
    updated_at: '2021-06-15T23:59:59.999Z',
    deleted_at: null,
    ...fields,
  }
}

/** A line without what an import ignores. */
export function kept({ user_id: _, version: __, ...rest }: Exported): object {
  return rest
}

/** Everything that the database holds of a user, with the writer of each row: tells even a write that changed nothing. */
export function storedOf({ testDatabase }: TestService, { userId }: Client): Promise<object[]> {
  return testDatabase.query(
    ['tasks', 'change_counters', 'deletions', 'idempotency_keys']
      .map(
        (table) =>
          `select '${table}' as place, to_jsonb(r) as row, r.xmin::text from app.${table} r where user_id = $1`,
      )
      .join(' union all ')
      .concat(' order by 1, 2'),
    [userId],
  )
}

/** Temporary files of transfers that are there or still open in this process (the latter on Linux only). */
export function temporaryFiles(): string[] {
  const isOurs = (name: string) => name.includes('backend-core-transfer-')
  return [...readdirSync(tmpdir()), ...openFiles()].filter(isOurs)
}

function openFiles(): string[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      // Closed meanwhile.
      return []
    }
  })
}
