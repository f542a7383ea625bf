import pg from 'pg'
import { databaseUnavailable, toAppError } from './sqlstate.ts'

export type PoolOptions = {
  readonly connection: pg.ClientConfig
  /** Most connections that are open at a time. */
  readonly poolMax: number
  /** Longest time that a piece of work may take, waiting for a connection included, in milliseconds. */
  readonly deadlineMs?: number
  /** Told of connections that break outside a statement; the pool replaces them. */
  readonly onConnectionError?: (error: unknown) => void
}

/** A failure is answered within 5 s; this leaves the rest of the request its share. */
const defaultDeadlineMs = 4_500

/** The connections of one process; none is made before it is needed. */
export class Pool {
  readonly #pool: pg.Pool
  readonly #deadlineMs: number

  constructor({ connection, poolMax, deadlineMs = defaultDeadlineMs, onConnectionError }: PoolOptions) {
    this.#deadlineMs = deadlineMs
    this.#pool = new pg.Pool({
      ...connection,
      application_name: 'backend-core',
      max: poolMax,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: deadlineMs,
    })
    const report = (error: unknown) => onConnectionError?.(error)
    this.#pool.on('error', report)
    // While a connection is lent out, its errors are not the pool's.
    this.#pool.on('connect', (client) => client.on('error', report))
  }

  /**
   * Runs work with a connection, and takes the connection back: for reuse when the work succeeded or the server
   * itself refused it, else to be replaced.
   *
   * @param limit how long the work may take, waiting for a connection included unless it is a number
   * @throws AppError DATABASE_UNAVAILABLE when the database cannot be had in time
   */
  async lend<T>(
    limit: LendLimit,
    work: (client: pg.PoolClient, deadline: Deadline) => Promise<T>,
  ): Promise<T> {
    let deadline = startDeadline(this.#deadlineMs)
    let client: pg.PoolClient | undefined
    let broken = true
    try {
      client = await this.#connect(deadline)
      if (typeof limit === 'number') {
        deadline.cancel()
        deadline = startDeadline(limit)
      }
      const working = work(client, deadline)
      const result = await (limit === 'none' ? working : Promise.race([working, deadline.passed]))
      broken = false
      return result
    } catch (error) {
      broken = !(error instanceof pg.DatabaseError)
      throw toAppError(error)
    } finally {
      deadline.cancel()
      client?.release(broken)
    }
  }

  /** Waits until all lent connections are back, and closes them. */
  close(): Promise<void> {
    return this.#pool.end()
  }

  async #connect(deadline: Deadline): Promise<pg.PoolClient> {
    const connecting = this.#pool.connect()
    try {
      return await Promise.race([connecting, deadline.passed])
    } catch (error) {
      // One that comes too late goes back to the pool; its failure has been told already.
      connecting.then(
        (client) => client.release(),
        () => {},
      )
      throw error
    }
  }
}

/**
 * `deadline` gives the work up when the pool's deadline passes, a number when so many milliseconds have passed since
 * the connection was there; `none` only bounds the wait for a connection.
 */
export type LendLimit = 'deadline' | 'none' | number

export type Deadline = {
  /** Rejects with DATABASE_UNAVAILABLE once the time is over. */
  readonly passed: Promise<never>
  /** What is left for the server, in milliseconds, at least 1: it ends a slow statement itself. */
  remainingMs(): number
  cancel(): void
}

/** Over the server's own time-out: this long it has to say that it has ended the statement. */
const graceMs = 200

function startDeadline(limitMs: number): Deadline {
  const endsAt = performance.now() + limitMs
  const { promise, reject } = Promise.withResolvers<never>()
  // Whoever no longer waits for it need not hear of it.
  promise.catch(() => {})
  const timer = setTimeout(
    () => reject(databaseUnavailable(new Error('The database did not answer within the deadline'))),
    limitMs + graceMs,
  )
  return {
    passed: promise,
    remainingMs: () => Math.max(1, Math.ceil(endsAt - performance.now())),
    cancel: () => clearTimeout(timer),
  }
}
