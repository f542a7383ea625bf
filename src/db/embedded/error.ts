import { OperatorError } from '../../errors.ts'

/** The embedded PostgreSQL cannot do what was asked; the message tells the operator what is wrong and what to do. */
export class EmbeddedPostgresError extends OperatorError {
  override readonly name = 'EmbeddedPostgresError'
}

/** What every message may end with: the one way that always works. */
export const USE_DATABASE_URL = 'or set DATABASE_URL to a PostgreSQL 15 or later of your own'

/** The code of a system error (ENOENT) or of a PostgreSQL error (57P03), if it has one. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/**
 * Takes a missing file for an answer.
 * @returns what the file operation gave, or undefined when there is no such file (or no such process, below /proc)
 */
export async function unlessMissing<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}

const adviceByCode: Readonly<Record<string, string>> = {
  EROFS: 'The file system is read-only: set DATA_DIR to a folder that can be written',
  ENOSPC: 'The disk is full: free some space, set DATA_DIR to another disk',
  EDQUOT: 'The disk quota is used up: free some space, set DATA_DIR to another disk',
  EACCES: 'The user that runs the service may not do that: grant it the folder, set DATA_DIR to another one',
  EPERM: 'The user that runs the service may not do that: grant it the folder, set DATA_DIR to another one',
  ENOTDIR: 'A part of the path is a file: set DATA_DIR to a folder',
  EEXIST: 'A file stands where a folder is needed: remove it, set DATA_DIR to another folder',
  EBUSY: 'The folder is a mount point: mount its parent instead, set DATA_DIR to another folder',
}

/**
 * Makes any error one that an operator can act on.
 * @param error what was thrown; an EmbeddedPostgresError is returned as it is
 * @param dataDir the folder the start was about
 * @returns an EmbeddedPostgresError with the original as its cause
 */
export function asEmbeddedPostgresError(error: unknown, dataDir: string): EmbeddedPostgresError {
  if (error instanceof EmbeddedPostgresError) return error
  const reason = error instanceof Error ? error.message : String(error)
  const advice = adviceByCode[errorCode(error) ?? ''] ?? 'Set DATA_DIR to another folder'
  return new EmbeddedPostgresError(
    `The embedded PostgreSQL in ${dataDir} cannot be started: ${reason}. ${advice}, ${USE_DATABASE_URL}.`,
    { cause: error },
  )
}
