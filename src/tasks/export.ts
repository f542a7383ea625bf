import type { Readable } from 'node:stream'
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

/**
 * All of the user's tasks, the trash included, as they are at one moment. They are read into a temporary file first: a
 * client that reads slowly holds no connection, and what goes wrong is known before the answer begins.
 *
 * @param signal ends the work when the client has gone
 * @throws AppError OVERLOADED, DATABASE_UNAVAILABLE
 */
export async function exportData(
  scope: UserScope,
  slots: TransferSlots,
  signal: AbortSignal,
): Promise<Export> {
  const release = slots.take(scope.userId)
  let spool: Spool | undefined
  try {
    spool = await Spool.open()
    const opened = spool
    await slots.inTurn(() => writeSnapshot(scope, opened, signal))
    const lines = spool.stream()
    lines.once('close', release)
    return { bytes: spool.bytes, lines }
  } catch (error) {
    await spool?.close()
    release()
    throw error
  }
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
