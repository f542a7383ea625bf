import type { TransactionScope, UserScope } from '../db/database.ts'
import { AppError, type ErrorDetail } from '../errors.ts'
import { type Line, LineSplitter } from '../lib/line-splitter.ts'
import { type LineCheck, readImportLine } from './import-line.ts'
import { Spool } from './spool.ts'
import { lockChanges } from './store.ts'
import type { TransferSlots } from './transfer-slots.ts'
import { type ImportRecord, importRecords } from './transfer-store.ts'

/** Largest import, in bytes. */
export const importLimitBytes = 64 * 1_048_576

/** Any task fits, however its text is escaped. */
const maxLineBytes = 131_072

/** Most lines, empty ones too: more than an export of importLimitBytes can have. */
const maxLines = 300_000

/** Most problems that one answer lists. */
const maxDetails = 100

/** Lines that one statement takes at most, and their length together. */
const maxChunkLines = 500
const maxChunkLength = 524_288

/** Longest time that the write may take; it holds the user's counter and a connection. */
const timeoutMs = 120_000

export type ImportReport = {
  readonly dry_run: boolean
  /** Tasks in the body; empty lines are none. */
  readonly lines: number
  readonly created: number
  readonly updated: number
  readonly unchanged: number
}

export type ImportOptions = {
  /** NDJSON as it arrives. */
  readonly body: AsyncIterable<Buffer>
  readonly check: LineCheck
  /** Only tells what it would do. */
  readonly dryRun: boolean
  readonly slots: TransferSlots
}

/**
 * Creates and replaces tasks as the lines of a body have them, all or none. The body is read to its end and checked
 * before the database is asked: a slow or cut upload holds no connection and no lock.
 *
 * @throws AppError VALIDATION_FAILED with the line in each detail; BODY_TOO_LARGE; OVERLOADED; DATABASE_UNAVAILABLE
 */
export async function importData(
  scope: UserScope,
  { body, check, dryRun, slots }: ImportOptions,
): Promise<ImportReport> {
  const release = slots.take(scope.userId)
  let spool: Spool | undefined
  try {
    spool = await Spool.open()
    const lines = await spoolLines(body, check, spool)
    const opened = spool
    const { created, updated } =
      lines === 0 ? { created: 0, updated: 0 } : await slots.inTurn(() => writeAll(scope, opened, dryRun))
    return { dry_run: dryRun, lines, created, updated, unchanged: lines - created - updated }
  } finally {
    await spool?.close()
    release()
  }
}

/** Checks all lines and puts them into the spool, a chunk a line. @returns how many there are */
async function spoolLines(body: AsyncIterable<Buffer>, check: LineCheck, spool: Spool): Promise<number> {
  const splitter = new LineSplitter(maxLineBytes)
  const intake = new Intake(check, spool)
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > importLimitBytes) throw new AppError('BODY_TOO_LARGE')
    await takeAll(splitter.push(chunk), intake)
  }
  await takeAll(splitter.end(), intake)
  return intake.finish()
}

async function takeAll(lines: readonly Line[], intake: Intake): Promise<void> {
  for (const line of lines) {
    const writing = intake.add(line)
    // Most lines only join the others: to wait for each would cost more than to check it.
    if (writing !== undefined) await writing
  }
}

/** Takes lines one by one, and gathers them in chunks whose ids differ; once one is bad, only the problems. */
class Intake {
  readonly #check: LineCheck
  readonly #spool: Spool
  readonly #problems: ErrorDetail[] = []
  #lines = 0
  #chunk: string[] = []
  #chunkLength = 0
  #ids = new Set<string>()

  constructor(check: LineCheck, spool: Spool) {
    this.#check = check
    this.#spool = spool
  }

  /** @returns what must be waited for before the next one, if anything */
  add({ number, bytes }: Line): Promise<void> | undefined {
    if (number > maxLines) {
      const message = `is one more than the ${maxLines.toLocaleString('en')} lines that one import may have`
      this.#report(number, [{ path: '', code: 'maxItems', message }])
      throw this.#failure()
    }
    if (bytes === undefined) {
      const message = `is longer than ${maxLineBytes.toLocaleString('en')} bytes`
      this.#report(number, [{ path: '', code: 'maxLength', message }])
      return undefined
    }
    if (isBlank(bytes)) return undefined
    this.#lines++
    const line = readImportLine(bytes, this.#check)
    if (!line.ok) this.#report(number, line.problems)
    return line.ok && this.#problems.length === 0 ? this.#keep(line.record) : undefined
  }

  /** @returns how many lines there are @throws AppError VALIDATION_FAILED when any is bad */
  async finish(): Promise<number> {
    if (this.#problems.length > 0) throw this.#failure()
    if (this.#chunk.length > 0) await this.#flush()
    return this.#lines
  }

  #keep(record: ImportRecord): Promise<void> | undefined {
    const isFull = this.#chunk.length >= maxChunkLines || this.#chunkLength >= maxChunkLength
    // The same id again is another change of that task, and so of another statement.
    const writing = isFull || this.#ids.has(record.id) ? this.#flush() : undefined
    const text = JSON.stringify(record)
    this.#ids.add(record.id)
    this.#chunk.push(text)
    this.#chunkLength += text.length
    return writing
  }

  /** Empties the chunk at once, and writes what was in it. */
  #flush(): Promise<void> {
    const text = `[${this.#chunk.join()}]\n`
    this.#chunk = []
    this.#chunkLength = 0
    this.#ids.clear()
    return this.#spool.write(text)
  }

  #report(line: number, problems: readonly ErrorDetail[]): void {
    this.#problems.push(...problems.map((each) => ({ ...each, line })))
    if (this.#problems.length >= maxDetails) throw this.#failure()
  }

  #failure(): AppError {
    return new AppError('VALIDATION_FAILED', { details: this.#problems.slice(0, maxDetails) })
  }
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}

type Counts = { readonly created: number; readonly updated: number }

/** Ends the transaction of a dry run, which keeps nothing. */
class DryRunEnd extends Error {
  readonly counts: Counts

  constructor(counts: Counts) {
    super('The dry run has ended')
    this.counts = counts
  }
}

async function writeAll(scope: UserScope, spool: Spool, dryRun: boolean): Promise<Counts> {
  try {
    return await scope.transaction(
      async (transaction) => {
        lockChanges(transaction)
        const counts = await writeChunks(transaction, spool)
        if (dryRun) throw new DryRunEnd(counts)
        return counts
      },
      { timeoutMs },
    )
  } catch (error) {
    if (error instanceof DryRunEnd) return error.counts
    throw error
  }
}

async function writeChunks(scope: TransactionScope, spool: Spool): Promise<Counts> {
  const splitter = new LineSplitter(Number.POSITIVE_INFINITY)
  let [created, updated] = [0, 0]
  for await (const piece of spool.read()) {
    for (const { bytes } of splitter.push(piece)) {
      // Written above.
      const chunk = JSON.parse(String(bytes)) as ImportRecord[]
      const counts = await importRecords(scope, chunk)
      created += counts.created
      updated += counts.updated
    }
  }
  return { created, updated }
}
