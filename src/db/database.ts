import type { Deadline } from './deadline.ts'
import { migrate, pendingMigrations, requireServerVersion } from './migrate.ts'
import { type LendLimit, Pool, type PoolOptions, type PoolUsage, UndoneWork } from './pool.ts'
import { enterObserverScope, enterScope, enterSharedScope } from './scope.ts'
import { type Session, Sessions } from './sessions.ts'
import {
  type Call,
  type Columns,
  call,
  type ObserverStatement,
  type Shape,
  type Statement,
  toValues,
  type ValuesOf,
} from './sql.ts'
import { databaseUnavailable } from './sqlstate.ts'
import { reading, Transaction, type TransactionOptions } from './transaction.ts'
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
   * Runs one statement in one round trip, in a transaction of its own or in the open one.
   *
   * @throws AppError DATABASE_UNAVAILABLE when the database cannot be had within the deadline
   * @throws AppError OVERLOADED when too much waits for a connection already
   * @throws pg.DatabaseError for what the server refused, such as a unique violation
   */
  run<P extends Shape, R extends Columns>(
    statement: Statement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]>
  /**
   * The same for a statement that reads or writes little, along an index: it goes over a connection on which others' are
   * under way, which costs less, but who comes behind it waits with it. `call` of sql.ts makes it.
   */
  runShort<R extends Columns>(call: Call<R>): Promise<ValuesOf<R>[]>
  /**
   * Runs statements one after the other in one round trip, in a transaction of their own or in the open one. Each sees
   * what those before it did, and what others committed meanwhile. `call` of sql.ts makes them.
   *
   * @returns the rows of each
   */
  runAll<const C extends readonly Call[]>(calls: C): Promise<RowsOfAll<C>>
  /**
   * Runs work in a transaction, which is committed when it succeeds and rolled back when it throws. In an open
   * transaction, a savepoint does the same for the part. Work may be run a second time, when nothing of the first was
   * done.
   *
   * @throws what the work throws
   */
  transaction<T>(work: (scope: TransactionScope) => Promise<T>, options?: TransactionOptions): Promise<T>
  readonly [scopeBrand]: true
}

/** A user's scope within a transaction. */
export type TransactionScope = UserScope & {
  /** Has a statement run with the next round trip, the commit at the latest; its rows are passed over. */
  queue(call: Call): void
}

/** The rows of each of some calls. */
export type RowsOfAll<C extends readonly Call[]> = {
  readonly [K in keyof C]: C[K] extends Call<infer R> ? ValuesOf<R>[] : never
}

/** Looks across users, at which of them have something new or due; it can change nothing, and reads no text. */
export type Observer = {
  /** @throws AppError DATABASE_UNAVAILABLE when the database cannot be had within the deadline */
  run<P extends Shape, R extends Columns>(
    statement: ObserverStatement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]>
}

export type DatabaseOptions = PoolOptions & {
  /** Told after each commit in which something of the user's may have changed. */
  readonly onCommit?: (userId: string) => void
  /** Told once when a pooler is found that does not keep prepared statements; from then on none are. */
  readonly onPreparedStatementLost?: () => void
}

/**
 * Whose work it is. A request is refused with OVERLOADED when too much waits for a connection already; what the service
 * does by itself, or has taken on, waits its turn: of that there is never much.
 */
export type WorkOrigin = 'request' | 'service'

export type Database = {
  /** Scopes run nothing before `prepare` has succeeded. */
  scopeFor(userId: string, origin?: WorkOrigin): UserScope
  /** Whether so much work waits for a connection that requests are refused. */
  readonly isFull: boolean
  readonly observer: Observer
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
  /** Round trips that scopes and the observer have made so far. */
  readonly roundTrips: number
  /** The connections of the pool at this moment. */
  readonly usage: PoolUsage
  /** Gives up statements under way and closes all connections. */
  close(): Promise<void>
}

/** Opens a pool on the database. No connection is made before the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  return new PostgresDatabase(options)
}

class PostgresDatabase implements Database {
  readonly observer: Observer = { run: (statement, values) => this.#observe(statement, values) }
  readonly #pool: Pool
  readonly #options: DatabaseOptions
  readonly #sessions: Sessions
  #prepared = false

  constructor(options: DatabaseOptions) {
    this.#pool = new Pool(options)
    this.#sessions = new Sessions(this.#pool, () => options.onPreparedStatementLost?.())
    this.#options = options
  }

  get roundTrips(): number {
    return this.#sessions.roundTrips
  }
  get usage(): PoolUsage {
    return this.#pool.usage
  }
  get isFull(): boolean {
    return this.#pool.isFull
  }

  scopeFor(userId: string, origin: WorkOrigin = 'request'): UserScope {
    const admitted = <T>(work: () => Promise<T>): Promise<T> => {
      const refusal = origin === 'request' ? this.#pool.refusal() : undefined
      return refusal === undefined ? work() : Promise.reject(refusal)
    }
    return brand<UserScope>({
      userId,
      run: (statement, values) => admitted(() => this.#run(userId, statement, values)),
      runShort: (each) => admitted(() => this.#runShort(userId, each)),
      runAll: (calls) => admitted(() => this.#runAll(userId, calls)),
      transaction: (work, options = {}) => admitted(() => this.#transaction(userId, work, options)),
    })
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
      this.#options.onConnectionError?.(error)
      return ['the database does not answer']
    }
  }

  close(): Promise<void> {
    this.#sessions.giveUp()
    return this.#pool.close()
  }

  async #run<P extends Shape, R extends Columns>(
    userId: string,
    statement: Statement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]> {
    const rows = await this.#lend('deadline', statement.writes, async (session, deadline) => {
      const { step, rows } = reading(call(statement, values), userId)
      await session.exchange([enterScope(userId, deadline.remainingMs()), step])
      return rows
    })
    if (statement.writes) this.#options.onCommit?.(userId)
    return rows
  }

  async #runShort<R extends Columns>(userId: string, each: Call<R>): Promise<ValuesOf<R>[]> {
    this.#requirePrepared()
    const { writes } = each.statement
    let found: ValuesOf<R>[] = []
    await this.#sessions.share(writes, (deadline, isSharing) => {
      const { step, rows } = reading(each, userId)
      found = rows
      const enter = writes && isSharing ? enterSharedScope : enterScope
      return [enter(userId, deadline.remainingMs()), step]
    })
    if (writes) this.#options.onCommit?.(userId)
    return found
  }

  async #runAll<const C extends readonly Call[]>(userId: string, calls: C): Promise<RowsOfAll<C>> {
    const writes = calls.some(({ statement }) => statement.writes)
    const all = await this.#lend('deadline', writes, async (session, deadline) => {
      const readings = calls.map((each) => reading(each, userId))
      const steps = readings.map(({ step }) => step)
      await session.exchange([enterScope(userId, deadline.remainingMs()), ...steps])
      return readings
    })
    if (writes) this.#options.onCommit?.(userId)
    return rowsOfAll<C>(all)
  }

  async #observe<P extends Shape, R extends Columns>(
    statement: ObserverStatement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]> {
    return this.#lend('deadline', false, async (session, deadline) => {
      const rows: ValuesOf<R>[] = []
      const step = {
        name: statement.preparedAs,
        text: statement.text,
        values: toValues(statement, values),
        onRow: (fields: readonly (string | null)[]) => rows.push(statement.readRow(fields)),
      }
      await session.exchange([enterObserverScope(deadline.remainingMs()), step])
      return rows
    })
  }

  async #transaction<T>(
    userId: string,
    work: (scope: TransactionScope) => Promise<T>,
    options: TransactionOptions,
  ): Promise<T> {
    const { timeoutMs, snapshot = false } = options
    return this.#lend(timeoutMs ?? 'deadline', !snapshot, async (session, deadline) => {
      const transaction = new Transaction(session, userId, deadline.remainingMs(), options)
      try {
        const result = await work(transactionScope(userId, transaction))
        await transaction.commit()
        if (transaction.wrote) this.#options.onCommit?.(userId)
        return result
      } catch (error) {
        throw new UndoneWork(error, await transaction.rollback())
      } finally {
        transaction.end()
      }
    })
  }

  #lend<T>(
    limit: LendLimit,
    writes: boolean,
    work: (session: Session, deadline: Deadline) => Promise<T>,
  ): Promise<T> {
    this.#requirePrepared()
    return this.#sessions.lend(limit, writes, work)
  }

  #requirePrepared(): void {
    if (!this.#prepared) throw databaseUnavailable(new Error('The database is not prepared yet'))
  }
}

/** The scope that commands see of a transaction: to them it is like any other. */
function transactionScope(userId: string, transaction: Transaction): TransactionScope {
  const scope: TransactionScope = brand<TransactionScope>({
    userId,
    run: (statement, values) => transaction.run(statement, values),
    runShort: async (each) => (await scope.runAll([each]))[0],
    runAll: async <const C extends readonly Call[]>(calls: C) =>
      rowsOfAll<C>(await transaction.runAll(calls)),
    queue: (each) => transaction.queue(each),
    transaction: (work) => transaction.nest(() => work(scope)),
  })
  return scope
}

/** The one place that makes the brand. */
const brand = <S extends UserScope>(scope: Omit<S, typeof scopeBrand>): S => scope as S

function rowsOfAll<C extends readonly Call[]>(all: readonly { readonly rows: object[] }[]): RowsOfAll<C> {
  // A list for each call, in their order, each read by its call's statement.
  return all.map(({ rows }) => rows) as unknown as RowsOfAll<C>
}
