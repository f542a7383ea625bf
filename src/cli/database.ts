import type { Config } from '../config.ts'
import { type ConnectedDatabase, connectDatabase } from '../db/connect.ts'
import { AppError, OperatorError } from '../errors.ts'

export type OpenedDatabase = AsyncDisposable & {
  readonly database: ConnectedDatabase['database']
  readonly connection: ConnectedDatabase['connection']
  /** Migrations applied now. */
  readonly applied: readonly string[]
}

/**
 * The configured database for a command, migrated and checked; an embedded one is shared with a service that runs.
 * Dispose of it to close it.
 *
 * @throws OperatorError when the database cannot be had
 */
export async function openConfiguredDatabase(config: Config): Promise<OpenedDatabase> {
  const connected = await connectDatabase({ ...config, poolMax: config.databasePoolMax, mode: 'join' })
  try {
    const { database, connection } = connected
    const applied = await database.prepare()
    return { database, connection, applied, [Symbol.asyncDispose]: () => connected.close() }
  } catch (error) {
    await connected.close()
    if (!(error instanceof AppError)) throw error
    const reason = error.cause instanceof Error ? error.cause.message : error.message
    throw new OperatorError(`The database cannot be reached: ${reason}. Check DATABASE_URL.`, {
      cause: error,
    })
  }
}
