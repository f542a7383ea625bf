import pg from 'pg'
import type { Deadline } from './deadline.ts'
import { databaseUnavailable } from './sqlstate.ts'

/**
 * After a failover all connections are replaced, though not more often than this, in milliseconds: the new server may
 * be read-only as well for a while.
 */
const replaceAllIntervalMs = 250

/** Who waits for a connection. */
class Waiter {
  readonly sinceMs = performance.now()
  readonly connection: Promise<pg.PoolClient>
  readonly #settle: { resolve: (client: pg.PoolClient) => void; reject: (error: unknown) => void }

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<pg.PoolClient>()
    this.connection = promise
    this.#settle = { resolve, reject }
  }

  give(client: pg.PoolClient): void {
    this.#settle.resolve(client)
  }
  fail(error: unknown): void {
    this.#settle.reject(error)
  }
}

/**
 * Lends connections out, first come first served. One that comes back goes straight to whoever has waited longest; only
 * when nobody waits is it handed to pg's pool, which keeps it for a while. Under load that saves a request the timers,
 * closures and turns of that pool's own queue.
 */
export class Connections {
  readonly #pool: pg.Pool
  readonly #max: number
  /** In the order in which they get their connections. */
  readonly #waiters = new Set<Waiter>()
  /** Lent out, or being made. */
  #inUse = 0
  /** Of these: on their way from pg's pool. */
  #fetching = 0
  #isClosing = false
  readonly #madeAtMs = new WeakMap<pg.PoolClient, number>()
  readonly #broken = new WeakSet<pg.PoolClient>()
  /** Connections made before are not lent any more. */
  #replacedBeforeMs = 0

  /**
   * @param config of pg's pool, with the most connections that are open at a time
   * @param onError told of connections that break outside a statement; they are replaced
   */
  constructor(config: pg.PoolConfig & { readonly max: number }, onError: (error: unknown) => void) {
    this.#max = config.max
    this.#pool = new pg.Pool(config)
    this.#pool.on('error', onError)
    this.#pool.on('connect', (client) => {
      this.#madeAtMs.set(client, performance.now())
      const markBroken = () => this.#broken.add(client)
      client.on('end', markBroken)
      // While a connection is lent out, its errors are not the pool's.
      client.on('error', (error) => {
        markBroken()
        onError(error)
      })
    })
  }

  get inUse(): number {
    return this.#inUse
  }
  get idle(): number {
    return this.#pool.idleCount
  }
  /** Pieces of work that wait for a connection. */
  get waiting(): number {
    return this.#waiters.size
  }
  /** Since when the first of them waits, by performance.now(); undefined when none does. */
  get waitingSinceMs(): number | undefined {
    for (const { sinceMs } of this.#waiters) return sinceMs
    return undefined
  }

  /** @throws AppError DATABASE_UNAVAILABLE when there is none in time, or the pool is closing; what connecting failed with */
  async take(deadline: Deadline): Promise<pg.PoolClient> {
    if (this.#isClosing) throw stopping()
    const waiter = new Waiter()
    this.#waiters.add(waiter)
    this.#fetchForWaiting()
    try {
      return await deadline.within(waiter.connection)
    } catch (error) {
      // One that is there already, though too late, is for the next.
      if (!this.#waiters.delete(waiter))
        waiter.connection.then(
          (client) => this.giveBack(client, true),
          () => {},
        )
      throw error
    }
  }

  /** @param isGood whether it may be lent again; else it is closed */
  giveBack(client: pg.PoolClient, isGood: boolean): void {
    const isUsable = isGood && !this.#broken.has(client) && !this.#isReplaced(client)
    const next = isUsable && !this.#isClosing ? this.#next() : undefined
    if (next !== undefined) {
      next.give(client)
      return
    }
    client.release(!isUsable)
    this.#inUse--
    this.#fetchForWaiting()
  }

  /** Has no connection lent again that is there now. */
  replaceAll(): void {
    const now = performance.now()
    if (now - this.#replacedBeforeMs > replaceAllIntervalMs) this.#replacedBeforeMs = now
  }

  /** Waits until all that are lent are back, and closes them; whoever waits for one is told so. */
  close(): Promise<void> {
    this.#isClosing = true
    for (let waiter = this.#next(); waiter !== undefined; waiter = this.#next()) waiter.fail(stopping())
    return this.#pool.end()
  }

  #next(): Waiter | undefined {
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter)
      return waiter
    }
    return undefined
  }

  /** Has pg's pool find or make a connection, for whoever is first when it is there. */
  #fetch(): void {
    this.#inUse++
    this.#fetching++
    this.#pool.connect().then(
      (client) => {
        this.#fetching--
        this.giveBack(client, true)
      },
      (error: unknown) => {
        this.#inUse--
        this.#fetching--
        // Another connection may have served them all meanwhile.
        this.#next()?.fail(error)
        this.#fetchForWaiting()
      },
    )
  }

  #fetchForWaiting(): void {
    const isOneMissing = this.#waiters.size > this.#fetching && this.#inUse < this.#max
    if (isOneMissing && !this.#isClosing) this.#fetch()
  }

  #isReplaced(client: pg.PoolClient): boolean {
    return (this.#madeAtMs.get(client) ?? 0) < this.#replacedBeforeMs
  }
}

function stopping(): Error {
  return databaseUnavailable(new Error('The service is stopping'))
}
