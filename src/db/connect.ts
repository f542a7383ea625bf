import type { ClientConfig } from 'pg'
import { type Database, openDatabase } from './database.ts'
import type { EmbeddedPostgresEvent } from './embedded-postgres.ts'

export type ConnectOptions = {
  /** Address of a database, or undefined for the embedded one in `dataDir`. */
  readonly databaseUrl: string | undefined
  /** Of a database that another process has connected to; instead of the address, and nothing is started for it. */
  readonly connection?: ClientConfig | undefined
  readonly dataDir: string
  readonly poolMax: number
  /** `join` shares an embedded server that another process has started; `exclusive` refuses to. */
  readonly mode: 'exclusive' | 'join'
  readonly onEvent?: (event: EmbeddedPostgresEvent) => void
  readonly onConnectionError?: (error: unknown) => void
  /** Told after each commit in which something of the user's may have changed. */
  readonly onCommit?: (userId: string) => void
  readonly onPreparedStatementLost?: () => void
}

export type ConnectedDatabase = {
  readonly database: Database
  /** For a pool of accounts beside it, and for other processes. */
  readonly connection: ClientConfig
  readonly embedded: boolean
  /** Closes the connections and stops what was started. */
  close(): Promise<void>
}

/**
 * The configured database: the one at the address, or an embedded PostgreSQL started for it.
 *
 * @throws EmbeddedPostgresError when the embedded server cannot be started
 */
export async function connectDatabase(options: ConnectOptions): Promise<ConnectedDatabase> {
  const { databaseUrl, connection, dataDir, mode, onEvent } = options
  if (connection !== undefined) return connected(connection, options)
  if (databaseUrl !== undefined) return connected({ connectionString: databaseUrl }, options)
  // Only here, so that a service with a database of its own needs none of it.
  const { startEmbeddedPostgres } = await import('./embedded-postgres.ts')
  const server = await startEmbeddedPostgres({ dataDir, mode, ...(onEvent && { onEvent }) })
  // A Unix socket has no TLS, whatever PGSSLMODE asks of other connections.
  return connected({ ...server.connection, ssl: false }, options, () => server.stop())
}

function connected(
  connection: ClientConfig,
  options: ConnectOptions,
  stop?: () => Promise<void>,
): ConnectedDatabase {
  const { poolMax, onConnectionError, onPreparedStatementLost, onCommit } = options
  const database = openDatabase({
    connection,
    poolMax,
    ...(onConnectionError && { onConnectionError }),
    ...(onCommit && { onCommit }),
    ...(onPreparedStatementLost && { onPreparedStatementLost }),
  })
  return {
    database,
    connection,
    embedded: stop !== undefined,
    async close() {
      await database.close()
      await stop?.()
    },
  }
}
