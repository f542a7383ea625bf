import { Readable } from 'node:stream'
import type { UserScope } from '../db/database.ts'
import { AppError } from '../errors.ts'
import { Spool } from './spool.ts'
import type { TransferSlots } from './transfer-slots.ts'
import { firstId, listForExport } from './transfer-store.ts'

/** Tasks that are in memory at a time. */
const pageSize = 500

/** Longest time that the snapshot may be read; it holds a connection. */
const timeoutMs = 120_000

export type Export = {
  /** Size of the whole, in bytes. */
  readonly bytes: number
  /** NDJSON, a task a line. Whoever takes it must read it to its end or destroy it. */
  readonly lines: Readable
}

export type ExportOptions = {
  readonly slots: TransferSlots
  /** Ends the work when the client has gone. */
  readonly signal: AbortSignal
  /** A client that takes nothing for so long is cut off: its file and its slot are for others. In milliseconds. */
  readonly stallTimeoutMs?: number
}

/**
 * All of the user's tasks, the trash included, as they are at one moment. They are read into a temporary file first: a
 * client that reads slowly holds no connection, and what goes wrong is known before the answer begins.
 *
 * @throws AppError OVERLOADED, DATABASE_UNAVAILABLE
 */
export async function exportData(
  scope: UserScope,
  { slots, signal, stallTimeoutMs = 30_000 }: ExportOptions,
): Promise<Export> {
  const release = slots.take(scope.userId)
  let spool: Spool | undefined
  try {
    spool = await Spool.open()
    const opened = spool
    await slots.inTurn(() => writeSnapshot(scope, opened, signal))
    return { bytes: spool.bytes, lines: readOut(spool, release, stallTimeoutMs) }
  } catch (error) {
    await spool?.close()
    release()
    throw error
  }
}

/** The spool as a stream, with which it is closed. The slot is free as soon as the last byte is on its way. */
function readOut(spool: Spool, release: () => void, stallTimeoutMs: number): Readable {
  let taken = 0
  async function* pieces() {
    for await (const piece of spool.read()) {
      taken += piece.length
      if (taken === spool.bytes) release()
      yield piece
    }
  }
  const lines = Readable.from(pieces(), { objectMode: false })
  let takenBefore = -1
  const watch = setInterval(() => {
    if (taken === takenBefore) lines.destroy()
    takenBefore = taken
  }, stallTimeoutMs)
  lines.once('close', () => {
    clearInterval(watch)
    release()
    // What is under way is waited for; nothing is lost if it fails.
    spool.close().catch(() => {})
  })
  return lines
}

function writeSnapshot(scope: UserScope, spool: Spool, signal: AbortSignal): Promise<void> {
  requireClient(signal)
  return scope.transaction(
    async (snapshot) => {
      // It is run again when the connection was lost half-way.
      await spool.clear()
      for (let from: string | undefined = firstId; from !== undefined; ) {
        requireClient(signal)
        const found = await listForExport(snapshot, from, pageSize + 1)
        const page = found.slice(0, pageSize)
        await spool.write(page.map((task) => `${JSON.stringify(task)}\n`).join(''))
        // One task more than a page is where the next one begins.
        from = found[pageSize]?.id
      }
    },
    { snapshot: true, timeoutMs },
  )
}

/** @throws AppError BAD_REQUEST, which nobody will read, when the client has gone */
function requireClient(signal: AbortSignal): void {
  if (signal.aborted) throw new AppError('BAD_REQUEST', { cause: signal.reason })
}
