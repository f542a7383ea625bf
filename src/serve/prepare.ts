import { setTimeout as delay } from 'node:timers/promises'
import type { Database } from '../db/database.ts'
import { AppError } from '../errors.ts'
import type { Logger } from '../ops/logging.ts'
import type { Run } from './run.ts'

/** Between two tries to reach a database that is away at start, in milliseconds. */
const retryMs = 500

/** What must be brought up to date in the database before it is used; tells what it did. */
type Prepared = Pick<Database, 'prepare'>

/**
 * Migrates and checks the wall.
 *
 * @returns undefined when done, or the error that says that the database is away
 * @throws when the database must not be served from
 */
export async function prepare(parts: readonly Prepared[], logger: Logger): Promise<AppError | undefined> {
  try {
    for (const part of parts) {
      for (const migration of await part.prepare()) logger.info({ migration }, 'migration applied')
    }
    return undefined
  } catch (error) {
    if (error instanceof AppError && error.code === 'DATABASE_UNAVAILABLE') return error
    throw error
  }
}

/**
 * Tries until the database is back; until then every request that needs it is answered 503.
 *
 * @param onFailed told when it came back and must not be served from
 */
export function keepPreparing(
  away: AppError,
  parts: readonly Prepared[],
  { logger, cleanup, stopping }: Run,
  onFailed: (error: unknown) => void,
): void {
  logger.warn({ err: away }, 'the database is away; trying on')
  const attempts = (async () => {
    while (!stopping.aborted) {
      await delay(retryMs)
      if ((await prepare(parts, logger)) === undefined) return logger.info('the database is back')
    }
  })().catch((err: unknown) => {
    logger.fatal({ err }, 'the database cannot be served from')
    onFailed(err)
  })
  cleanup.defer(() => attempts)
}
