import { migrate, pendingMigrations, requireServerVersion } from './migrate.ts'
import { Pool, type PoolOptions } from './pool.ts'
import { ScopedQuery } from './scoped-query.ts'
import { type Shape, type Statement, toValues, type ValuesOf } from './sql.ts'
import { databaseUnavailable } from './sqlstate.ts'
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

/** Opens a pool on the database. No connection is made before the first statement. */
export function openDatabase(options: PoolOptions): Database {
  return new PostgresDatabase(options)
}

class PostgresDatabase implements Database {
  readonly #pool: Pool
  readonly #onConnectionError: PoolOptions['onConnectionError']
  readonly #underWay = new Set<{ handleError(error: unknown): void }>()
  #prepared = false
  #roundTrips = 0

  constructor(options: PoolOptions) {
    this.#pool = new Pool(options)
    this.#onConnectionError = options.onConnectionError
  }

  get roundTrips(): number {
    return this.#roundTrips
  }

  scopeFor(userId: string): UserScope {
    const scope: Omit<UserScope, typeof scopeBrand> = {
      userId,
      run: (statement, values) => this.#run(userId, statement, values),
    }
    // The one place that makes the brand.
    return scope as UserScope
  }

  async prepare(): Promise<string[]> {
    // A migration may take its time; whether the server answers at all must show at once.
    await this.#pool.lend('deadline', requireServerVersion)
    const applied = await this.#pool.lend('none', migrate)
    await this.#pool.lend('deadline', verifyWall)
    this.#prepared = true
    return applied
  }

  async missing(): Promise<string[]> {
    try {
      const pending = await this.#pool.lend('deadline', pendingMigrations)
      if (pending.length > 0) return pending.map((name) => `migration ${name} is not applied`)
      return this.#prepared ? [] : ['the wall between users is not checked yet']
    } catch (error) {
      this.#onConnectionError?.(error)
      return ['the database does not answer']
    }
  }

  close(): Promise<void> {
    for (const query of this.#underWay)
      query.handleError(databaseUnavailable(new Error('The service is stopping')))
    return this.#pool.close()
  }

  async #run<P extends Shape, R extends Shape>(
    userId: string,
    statement: Statement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]> {
    if (!this.#prepared) throw databaseUnavailable(new Error('The database is not prepared yet'))
    return this.#pool.lend('deadline', async (client, deadline) => {
      const query = new ScopedQuery<R>(statement, userId, toValues(statement, values), deadline.remainingMs())
      this.#underWay.add(query)
      this.#roundTrips++
      try {
        client.query(query)
        return await query.result
      } finally {
        this.#underWay.delete(query)
      }
    })
  }
}
