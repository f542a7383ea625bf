import type pg from 'pg'
import { AppError } from '../errors.ts'
import { Connections } from './connections.ts'
import { Deadline } from './deadline.ts'
import type { Exchange } from './exchange.ts'
import { type Division, Pipelines } from './pipelines.ts'
import { isLockTimeout, isReadOnly, isRefusal, toAppError } from './sqlstate.ts'

export type PoolOptions = {
  readonly connection: pg.ClientConfig
  /** Most connections that are open at a time. */
  readonly poolMax: number
  /** Longest time that a piece of work may take, waiting for a connection included, in milliseconds. */
  readonly deadlineMs?: number
  /** Most pieces of work that wait for a connection; the next one is refused. */
  readonly maxWaiting?: number
  /** When one has waited for longer, in milliseconds, the next one is refused too, unless nothing is being done at all. */
  readonly maxWaitMs?: number
  /** Told of connections that break outside a statement; the pool replaces them. */
  readonly onConnectionError?: (error: unknown) => void
}

/** How many connections do what. */
export type PoolUsage = {
  /** Lent out, or being made. */
  readonly inUse: number
  readonly idle: number
  /** Pieces of work that wait for one. */
  readonly waiting: number
  readonly max: number
}

/** A failure is answered within 5 s; this leaves the rest of the request its share. */
const defaultDeadlineMs = 4_500

/**
 * Most pieces of work that wait, for each connection of the pool. The last in the queue waits for so many to be done
 * before it: within the deadline as long as one takes 45 ms; most take 1 to 3 ms. What comes beyond that would wait in
 * vain when the database is slow, and who is told so at once can try later.
 */
const maxWaitingPerConnection = 100

/**
 * Longest time that a piece of work has waited for while more is taken, in milliseconds, for a database that is slow: the number
 * alone lets a queue grow that takes it 4 s to get through, and all of it is answered too late. Not less, as 64 clients that
 * each send batches wait for 0.3 s where PostgreSQL makes 180 of them a second; a queue that is long for what gets done is
 * seen much sooner (ops/standing-queue.ts).
 */
const defaultMaxWaitMs = 1_000

/** With 8 a GET takes a tenth more of the processor, with 32 as much; and the last of them waits for all others. */
const reads: Division = { most: 16, spread: 1 }

/**
 * Commits are written to the disk together when they are on several connections, so a write goes with others only where
 * no connection is free.
 */
const writesOver = (connections: number): Division => ({ most: 4, spread: connections })

/** A statement that may share a connection. */
export type Shared = {
  readonly writes: boolean
  /** Makes its exchange, anew each time that it is tried. */
  readonly begin: (deadline: Deadline) => Exchange
  /** Runs it over a connection of its own. */
  readonly runAlone: (client: pg.PoolClient, deadline: Deadline) => Promise<unknown>
}

/** The connections of one process; none is made before it is needed. */
export class Pool {
  readonly #connections: Connections
  readonly #reads: Pipelines
  readonly #writes: Pipelines
  readonly #poolMax: number
  readonly #deadlineMs: number
  readonly #maxWaiting: number
  readonly #maxWaitMs: number

  constructor(options: PoolOptions) {
    const { connection, poolMax, deadlineMs = defaultDeadlineMs, onConnectionError } = options
    this.#poolMax = poolMax
    this.#deadlineMs = deadlineMs
    this.#maxWaiting = options.maxWaiting ?? poolMax * maxWaitingPerConnection
    this.#maxWaitMs = options.maxWaitMs ?? defaultMaxWaitMs
    const config = {
      ...connection,
      application_name: 'backend-core',
      max: poolMax,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: deadlineMs,
    }
    this.#connections = new Connections(config, (error) => onConnectionError?.(error))
    this.#reads = new Pipelines(this.#connections, reads)
    this.#writes = new Pipelines(this.#connections, writesOver(poolMax))
  }

  /**
   * Whether as much work waits for a connection as may. Where nothing is being done at all the database is away, not too
   * busy: that is for the deadline to say.
   */
  get isFull(): boolean {
    const { waitingSinceMs, heardMs } = this.#connections
    if (this.usage.waiting >= this.#maxWaiting) return true
    if (waitingSinceMs === undefined) return false
    const now = performance.now()
    return now - waitingSinceMs > this.#maxWaitMs && now - heardMs < this.#maxWaitMs
  }

  /** What requests are refused with while as much work waits for a connection as may: to be asked before `lend`. */
  refusal(): AppError | undefined {
    return this.isFull ? new AppError('OVERLOADED', { headers: { 'retry-after': '1' } }) : undefined
  }

  /**
   * Runs work with a connection, and takes the connection back: for reuse when the work succeeded, the server itself
   * refused it or it was undone, else to be replaced.
   *
   * @param limit how long the work may take, waiting for a connection included unless it is a number
   * @param isWorthAnother whether work that failed like this may be tried again, within the same time
   * @throws AppError DATABASE_UNAVAILABLE when the database cannot be had in time
   */
  async lend<T>(
    limit: LendLimit,
    work: (client: pg.PoolClient, deadline: Deadline) => Promise<T>,
    isWorthAnother: (error: unknown) => boolean = () => false,
  ): Promise<T> {
    return this.#retry((deadline) => this.#lendOnce(limit, deadline, work), isWorthAnother)
  }

  /**
   * Runs a short statement over a connection on which others' are under way; over one of its own when it met a lock that it
   * would have had to wait for.
   *
   * @param isWorthAnother as in `lend`
   * @throws AppError DATABASE_UNAVAILABLE when the database cannot be had in time
   */
  async share(
    { writes, begin, runAlone }: Shared,
    isWorthAnother: (error: unknown) => boolean = () => false,
  ): Promise<void> {
    const pipelines = writes ? this.#writes : this.#reads
    let isLocked = false
    await this.#retry<unknown>(
      (deadline) =>
        isLocked
          ? this.#lendOnce('deadline', deadline, runAlone)
          : pipelines.run(() => begin(deadline), deadline),
      (error) => {
        if (isLocked || !isLockTimeout(error)) return isWorthAnother(error)
        isLocked = true
        return true
      },
    )
  }

  async #retry<T>(
    attempt: (deadline: Deadline) => Promise<T>,
    isWorthAnother: (error: unknown) => boolean,
  ): Promise<T> {
    const deadline = new Deadline(this.#deadlineMs)
    try {
      for (let tries = 1; ; tries++) {
        try {
          return await attempt(deadline)
        } catch (thrown) {
          const error = thrown instanceof UndoneWork ? thrown.cause : thrown
          if (tries === maxTries || deadline.isOver() || !isWorthAnother(error)) throw toAppError(error)
        }
      }
    } finally {
      deadline.cancel()
    }
  }

  async #lendOnce<T>(
    limit: LendLimit,
    deadline: Deadline,
    work: (client: pg.PoolClient, deadline: Deadline) => Promise<T>,
  ): Promise<T> {
    const client = await this.#connections.take(deadline)
    const own = typeof limit === 'number' ? new Deadline(limit) : deadline
    let isGood = false
    try {
      const working = work(client, own)
      const result = await (limit === 'none' ? working : own.within(working))
      isGood = true
      return result
    } catch (error) {
      isGood = error instanceof UndoneWork ? error.isConnectionGood : isRefusal(error)
      const cause = error instanceof UndoneWork ? error.cause : error
      // What one connection met, the others would meet one by one, and reads would see what is no longer true.
      if (isReadOnly(cause) || (!isGood && own.isOver())) this.#connections.replaceAll()
      throw error
    } finally {
      if (own !== deadline) own.cancel()
      this.#connections.giveBack(client, isGood)
    }
  }

  /** The connections at this moment. */
  get usage(): PoolUsage {
    const { inUse, idle, waiting } = this.#connections
    return { inUse, idle, waiting: waiting + this.#reads.waiting + this.#writes.waiting, max: this.#poolMax }
  }

  /** Waits until all lent connections are back, and closes them; whoever waits for one, or shares one, is told so at once. */
  close(): Promise<void> {
    this.#reads.close()
    this.#writes.close()
    return this.#connections.close()
  }
}

/**
 * `deadline` gives the work up when the pool's deadline passes, a number when so many milliseconds have passed since
 * the connection was there; `none` only bounds the wait for a connection.
 */
export type LendLimit = 'deadline' | 'none' | number

/** Work that failed and has left nothing behind, unless its connection was lost as it was committed. */
export class UndoneWork extends Error {
  override readonly name = 'UndoneWork'
  /** Whether the connection is known to be outside of the transaction again. */
  readonly isConnectionGood: boolean

  constructor(cause: unknown, isConnectionGood: boolean) {
    super('The work was undone', { cause })
    this.isConnectionGood = isConnectionGood
  }
}

/** How often work is tried that may be: a conflict that comes back a third time will not go away at once. */
const maxTries = 3
