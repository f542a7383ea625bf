import pg from 'pg'
import { migrate, pendingMigrations, requireServerVersion } from './migrate.ts'
import { ScopedQuery, scopeStatement } from './scoped-query.ts'
import { type Shape, type Statement, toValues, type ValuesOf } from './sql.ts'
import { databaseUnavailable, toAppError } from './sqlstate.ts'
import { verifyWall } from './wall.ts'

declare const scopeBrand: unique symbol

/**
 * The only way to a user's data: bound to one user id, which it sends as the first parameter of every statement and
 * as the user that row-level security lets through. Only this module makes one, so SQL without a user does not
 * compile.
 */
export type UserScope = {
  readonly userId: string
  /**
   * Runs one statement in a transaction of its own, in one round trip.
   *
   * @throws AppError DATABASE_UNAVAILABLE when the database cannot be had within the deadline
   * @throws pg.DatabaseError for what the server refused, such as a unique violation
   */
  run<P extends Shape, R extends Shape>(
    statement: Statement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]>
  readonly [scopeBrand]: true
}

export type Database = {
  /** Scopes run nothing before `prepare` has succeeded. */
  scopeFor(userId: string): UserScope
  /**
   * Migrates, then checks the wall between users.
   *
   * @returns the names of the migrations applied now
   * @throws AppError DATABASE_UNAVAILABLE when the database is away: call again later
   * @throws MigrationError, WallError when it must not be served from
   */
  prepare(): Promise<string[]>
  /** What keeps the database from serving, in words; empty when nothing does. */
  missing(): Promise<string[]>
  /** Round trips that scopes have made so far. */
  readonly roundTrips: number
  /** Gives up statements under way and closes all connections. */
  close(): Promise<void>
}

export type DatabaseOptions = {
  readonly connection: pg.ClientConfig
  readonly poolMax: number
  /** Longest time that one statement may take, waiting for a connection included, in milliseconds. */
  readonly deadlineMs?: number
  /** Told of connections that break outside a statement; the pool replaces them. */
  readonly onConnectionError?: (error: unknown) => void
}

/** A failure is answered within 5 s; this leaves the rest of the request its share. */
const defaultDeadlineMs = 4_500

/** Opens a pool on the database. No connection is made before the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs
  const pool = new pg.Pool({
    ...options.connection,
    application_name: 'backend-core',
    max: options.poolMax,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: deadlineMs,
    // Named, so that every later use on this connection is a Bind alone.
    onConnect: async (client) => {
      const { name, text, neutralValues } = scopeStatement
      // pg's type definitions leave out query_timeout.
      const prepare = { name, text, values: neutralValues, query_timeout: deadlineMs }
      await client.query(prepare)
    },
  })
  const report = (error: unknown) => options.onConnectionError?.(error)
  pool.on('error', report)
  // While a connection is lent out, its errors are not the pool's.
  pool.on('connect', (client) => client.on('error', report))
  const underWay = new Set<{ handleError(error: unknown): void }>()
  let prepared = false
  let roundTrips = 0

  /** A connection, or DATABASE_UNAVAILABLE; one that comes too late goes back to the pool. */
  async function connect(deadline: Deadline): Promise<pg.PoolClient> {
    const connecting = pool.connect()
    try {
      return await Promise.race([connecting, deadline.passed])
    } catch (error) {
      connecting.then(
        (client) => client.release(),
        () => {},
      )
      throw toAppError(error)
    }
  }

  /** Work outside any scope: migrations, the check of the wall, readiness. Never tasks. */
  async function administer<T>(work: (client: pg.ClientBase) => Promise<T>, limitMs?: number): Promise<T> {
    const deadline = startDeadline(deadlineMs)
    let client: pg.PoolClient | undefined
    let broken = true
    try {
      client = await connect(deadline)
      const working = work(client)
      const result = await (limitMs === undefined ? working : Promise.race([working, deadline.passed]))
      broken = false
      return result
    } catch (error) {
      throw toAppError(error)
    } finally {
      deadline.cancel()
      client?.release(broken)
    }
  }

  async function run<P extends Shape, R extends Shape>(
    userId: string,
    statement: Statement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]> {
    if (!prepared) throw databaseUnavailable(new Error('The database is not prepared yet'))
    const deadline = startDeadline(deadlineMs)
    let client: pg.PoolClient | undefined
    let query: ScopedQuery<R> | undefined
    let broken = true
    try {
      client = await connect(deadline)
      query = new ScopedQuery<R>(statement, userId, toValues(statement, values), deadline.remainingMs())
      underWay.add(query)
      roundTrips++
      client.query(query)
      const rows = await Promise.race([query.result, deadline.passed])
      broken = false
      return rows
    } catch (error) {
      // What the server itself refused leaves the connection sound.
      broken = !(error instanceof pg.DatabaseError)
      throw toAppError(error)
    } finally {
      deadline.cancel()
      if (query !== undefined) underWay.delete(query)
      client?.release(broken)
    }
  }

  return {
    scopeFor(userId) {
      const scope = {
        userId,
        run: <P extends Shape, R extends Shape>(s: Statement<P, R>, v: ValuesOf<P>) => run(userId, s, v),
      }
      // The one place that makes the brand.
      return scope as UserScope
    },
    async prepare() {
      // A migration may take its time; whether the server answers at all must show at once.
      await administer(requireServerVersion, deadlineMs)
      const applied = await administer(migrate)
      await administer(verifyWall)
      prepared = true
      return applied
    },
    async missing() {
      try {
        const pending = await administer(pendingMigrations, deadlineMs)
        const missing = pending.map((name) => `migration ${name} is not applied`)
        if (missing.length === 0 && !prepared) missing.push('the wall between users is not checked yet')
        return missing
      } catch (error) {
        options.onConnectionError?.(error)
        return ['the database does not answer']
      }
    },
    get roundTrips() {
      return roundTrips
    },
    close() {
      for (const query of underWay)
        query.handleError(databaseUnavailable(new Error('The service is stopping')))
      return pool.end()
    },
  }
}

type Deadline = {
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
