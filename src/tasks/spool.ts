import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AppError } from '../errors.ts'

/** Codes of an operating system that has no room, or no file, left to give. */
const exhausted = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE', 'ENFILE'])

/** Bytes that are read at a time. */
const pieceBytes = 65_536

const retryAfter = { 'retry-after': '10' }

/**
 * A file that holds what is on its way between a client and the database, so that neither waits for the other. It is
 * among the temporary files for its user alone, and loses its name as soon as it is there: it is gone with the last use,
 * even when the process is killed.
 */
export class Spool {
  readonly #handle: FileHandle
  #bytes = 0

  /** @param handle a file of its own, empty, to read and write */
  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** @throws AppError OVERLOADED when there is no room for another file */
  static async open(): Promise<Spool> {
    const path = join(tmpdir(), `backend-core-transfer-${randomUUID()}`)
    const { O_CREAT, O_EXCL, O_RDWR } = constants
    const handle = await open(path, O_CREAT | O_EXCL | O_RDWR, 0o600).catch(rethrow)
    try {
      await unlink(path)
      return new Spool(handle)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** How much is in it. */
  get bytes(): number {
    return this.#bytes
  }

  /** Appends text. @throws AppError OVERLOADED when there is no room */
  async write(text: string): Promise<void> {
    const data = Buffer.from(text)
    for (let done = 0; done < data.length; ) {
      const { bytesWritten } = await this.#handle
        .write(data, done, data.length - done, this.#bytes)
        .catch(rethrow)
      done += bytesWritten
      this.#bytes += bytesWritten
    }
  }

  /** Makes it empty. */
  async clear(): Promise<void> {
    await this.#handle.truncate(0)
    this.#bytes = 0
  }

  /** All of it, from the start; as often as wanted. */
  async *read(): AsyncGenerator<Buffer> {
    for (let at = 0; at < this.#bytes; ) {
      const piece = Buffer.allocUnsafe(pieceBytes)
      const { bytesRead } = await this.#handle.read(piece, 0, pieceBytes, at)
      if (bytesRead === 0) throw new Error('A temporary file is shorter than what was written to it')
      at += bytesRead
      yield piece.subarray(0, bytesRead)
    }
  }

  /** Waits for what is under way, and gives the file up. */
  close(): Promise<void> {
    return this.#handle.close()
  }
}

function rethrow(error: unknown): never {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (typeof code !== 'string' || !exhausted.has(code)) throw error
  throw new AppError('OVERLOADED', { headers: retryAfter, cause: error })
}
