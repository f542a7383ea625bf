import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type PostgresCursor,
  PostgresDialect,
  type PostgresPool,
  type PostgresPoolClient,
  type PostgresQueryResult,
} from 'kysely'
import pg from 'pg'
import { databaseUnavailable, isReadOnly, toAppError } from '../db/sqlstate.ts'
import { AppError } from '../errors.ts'

/** Connections that accounts open at most: an instance has these besides DATABASE_POOL_MAX. */
const poolMax = 4

/** For a connection and for a statement each, so that the two together stay below the 5 s of a failure's answer. */
const timeoutMs = 2_000

/** The database as accounts use it: outside the scopes of users, in a schema that the scopes cannot reach. */
export type AccountsDatabase = {
  readonly pool: pg.Pool
  /** The same pool for Better Auth. */
  readonly dialect: PostgresDialect
  /**
   * Runs work of Better Auth and fails if the database was away meanwhile. Better Auth takes a session that it cannot
   * read for one that does not exist, and would sign people out for as long as the database is away.
   *
   * @throws AppError DATABASE_UNAVAILABLE
   */
  watch<T>(work: () => Promise<T>): Promise<T>
}

type Watched = { failure?: unknown }

/**
 * Opens a pool of its own. No connection is made before the first statement.
 *
 * @param onConnectionError told of connections that break outside a statement; the pool replaces them
 */
export function openAccountsDatabase(
  connection: pg.ClientConfig,
  onConnectionError: (error: unknown) => void,
): AccountsDatabase {
  const pool = new pg.Pool({
    ...connection,
    application_name: 'backend-core-accounts',
    max: poolMax,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  })
  pool.on('error', onConnectionError)
  // A connection in use that ends while no statement is under way would end the process: nobody else listens to it
  // then. Its next statement fails.
  pool.on('connect', (client) => client.on('error', () => {}))
  const watching = new AsyncLocalStorage<Watched>()
  return {
    pool,
    dialect: new PostgresDialect({ pool: watchedPool(pool, watching) }),
    async watch(work) {
      const watched: Watched = {}
      let result: Awaited<ReturnType<typeof work>>
      try {
        result = await watching.run(watched, work)
      } catch (error) {
        throw watched.failure ?? toAppError(error)
      }
      if (watched.failure !== undefined) throw watched.failure
      return result
    },
  }
}

/** A pool that notes for whoever watches that the database is away, and asks it nothing more on their behalf. */
function watchedPool(pool: pg.Pool, watching: AsyncLocalStorage<Watched>): PostgresPool {
  const attempt: Attempt = async (ask) => {
    const watched = watching.getStore()
    if (watched?.failure !== undefined) throw watched.failure
    try {
      return await ask()
    } catch (error) {
      // What is no answer of the server is a connection that broke or a time-out.
      const known = error instanceof pg.DatabaseError ? toAppError(error) : databaseUnavailable(error)
      if (watched !== undefined && known instanceof AppError) watched.failure = known
      throw known
    }
  }
  let failovers = 0
  const madeAfter = new WeakMap<pg.PoolClient, number>()
  pool.on('connect', (client) => madeAfter.set(client, failovers))
  const connect = async () => {
    for (;;) {
      const client = await pool.connect()
      if (madeAfter.get(client) === failovers) return client
      client.release(true)
    }
  }
  return {
    options: {},
    end: () => pool.end(),
    async connect() {
      const client = await attempt(connect)
      return new WatchedClient(client, attempt, (error) => {
        // Another server has taken over. The other connections would meet the same one by one, and reads over them see what
        // is no longer true.
        if (isReadOnly(error) && madeAfter.get(client) === failovers) failovers++
      })
    },
  }
}

type Attempt = <T>(ask: () => Promise<T>) => Promise<T>

/** A connection as Kysely uses it. */
class WatchedClient implements PostgresPoolClient {
  readonly #client: pg.PoolClient
  readonly #attempt: Attempt
  readonly #onError: (error: unknown) => void
  #broken = false

  constructor(client: pg.PoolClient, attempt: Attempt, onError: (error: unknown) => void) {
    this.#client = client
    this.#attempt = attempt
    this.#onError = onError
  }

  query<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>>
  query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>
  query<R>(
    text: string | PostgresCursor<R>,
    values: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
    if (typeof text !== 'string') throw new Error('Better Auth reads no cursors')
    return this.#run<R>(text, values)
  }

  async #run<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    try {
      const { rows, rowCount, command } = await this.#attempt(() => this.#ask(text, values))
      // pg knows commands that Kysely's type leaves out; Kysely compares with those that it knows.
      return { rows, rowCount, command } as PostgresQueryResult<R>
    } catch (error) {
      // A connection whose statement is still under way must not be used again.
      this.#broken ||= !(error instanceof pg.DatabaseError)
      throw error
    }
  }

  async #ask(text: string, values: readonly unknown[]): Promise<pg.QueryResult> {
    try {
      return await this.#client.query(text, [...values])
    } catch (error) {
      this.#onError(error)
      throw error
    }
  }

  release(destroy = false): void {
    this.#client.release(this.#broken || destroy)
  }
}
