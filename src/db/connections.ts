import pg from 'pg'
import { LinkedList } from '../lib/linked-list.ts'
import type { Deadline } from './deadline.ts'
import { stopping } from './sqlstate.ts'

/**
 * After a failover all connections are replaced, though not more often than this, in milliseconds: the new server may
 * be read-only as well for a while.
 */
const replaceAllIntervalMs = 250

/** When nothing has come back for so long, in milliseconds, the server may be gone, and its connections say nothing of it. */
const silentAfterMs = 1_000
/** How often that is looked for, in milliseconds. */
const watchIntervalMs = 250
/** How long the spare connection may take to be made, in milliseconds: one tried too early must not outlast a failover. */
const spareTimeoutMs = 1_000
/** With fewer connections none is kept as a spare: it would be half of them. */
const minMaxWithSpare = 3

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
 *
 * When nothing comes back any more (the server is gone without a word, or all wait for locks), those that are idle are not
 * trusted, and a spare connection is made for who waits: else a server that took over would not be asked before a deadline.
 */
export class Connections {
  readonly #onError: (error: unknown) => void
  readonly #pool: pg.Pool
  readonly #sparePool: pg.Pool | undefined
  /** Without the spare one. */
  readonly #max: number
  /** In the order in which they get their connections. */
  readonly #waiters = new LinkedList<Waiter>()
  /** Lent out, or being made; without the spare one. */
  #inUse = 0
  /** Of these: on their way from pg's pool. */
  #fetching = 0
  #isSpareInUse = false
  /** The spare one while nobody waits, and no other could be had at once. */
  #idleSpare: pg.PoolClient | undefined
  readonly #spares = new WeakSet<pg.PoolClient>()
  /** When the server last answered for a connection that came back, or the first one was lent. */
  #heardMs = 0
  #watch: NodeJS.Timeout | undefined
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
    this.#onError = onError
    const hasSpare = config.max >= minMaxWithSpare
    this.#max = hasSpare ? config.max - 1 : config.max
    this.#pool = this.#open({ ...config, max: this.#max })
    if (hasSpare) this.#sparePool = this.#open({ ...config, max: 1, connectionTimeoutMillis: spareTimeoutMs })
  }

  #open(config: pg.PoolConfig): pg.Pool {
    const pool = new pg.Pool(config)
    pool.on('error', this.#onError)
    pool.on('connect', (client) => {
      this.#madeAtMs.set(client, performance.now())
      const markBroken = () => this.#broken.add(client)
      client.on('end', markBroken)
      // While a connection is lent out, its errors are not the pool's.
      client.on('error', (error) => {
        markBroken()
        this.#onError(error)
      })
    })
    return pool
  }

  get inUse(): number {
    return this.#inUse + Number(this.#isSpareInUse)
  }
  get idle(): number {
    return this.#pool.idleCount + (this.#idleSpare === undefined ? 0 : 1)
  }
  /** Pieces of work that wait for a connection. */
  get waiting(): number {
    return this.#waiters.size
  }
  /** Since when the first of them waits, by performance.now(); undefined when none does. */
  get waitingSinceMs(): number | undefined {
    return this.#waiters.first?.sinceMs
  }
  /** When the server was last heard of, by performance.now(), not counting the time when nothing was asked of it. */
  get heardMs(): number {
    return this.#heardMs
  }

  /**
   * @param deadline until which one is waited for; without it, until there is one
   * @throws AppError DATABASE_UNAVAILABLE when there is none in time, or the pool is closing; what connecting failed with
   */
  async take(deadline?: Deadline): Promise<pg.PoolClient> {
    if (this.#isClosing) throw stopping()
    const waiter = new Waiter()
    const place = this.#waiters.append(waiter)
    this.#fetchForWaiting()
    if (deadline === undefined) return waiter.connection
    try {
      return await deadline.within(waiter.connection)
    } catch (error) {
      // One that is there already, though too late, is for the next.
      if (!this.#waiters.remove(place))
        waiter.connection.then(
          (client) => this.#pass(client, true),
          () => {},
        )
      throw error
    }
  }

  /** @param isGood whether it may be lent again; else it is closed */
  giveBack(client: pg.PoolClient, isGood: boolean): void {
    if (isGood) this.hear()
    this.#pass(client, isGood)
  }

  /** Takes note of an answer of the server. */
  hear(): void {
    this.#heardMs = performance.now()
  }

  /** Has no connection lent again that is there now. */
  replaceAll(): void {
    const now = performance.now()
    if (now - this.#replacedBeforeMs > replaceAllIntervalMs) this.#replacedBeforeMs = now
  }

  /** Waits until all that are lent are back, and closes them; whoever waits for one is told so. */
  async close(): Promise<void> {
    this.#isClosing = true
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift())
      waiter.fail(stopping())
    clearInterval(this.#watch)
    // An idle spare one goes when the first of the others comes back.
    await Promise.all([this.#pool.end(), this.#sparePool?.end()])
  }

  /** Hands a connection on to whoever is first, or puts it away. */
  #pass(client: pg.PoolClient, isGood: boolean): void {
    const isUsable = isGood && !this.#broken.has(client) && !this.#isReplaced(client)
    const next = isUsable && !this.#isClosing ? this.#waiters.shift() : undefined
    if (next !== undefined) {
      next.give(client)
      return
    }
    const isSpare = this.#spares.has(client)
    if (isSpare) this.#isSpareInUse = false
    else this.#inUse--
    if (isSpare && isUsable && (this.#areAllInUse || this.#fetching > 0) && !this.#isClosing) {
      this.#idleSpare = client
      return
    }
    client.release(isSpare || !isUsable)
    this.#fetchForWaiting()
  }

  /** Has pg's pool find or make a connection, for whoever is first when it is there. */
  #fetch(): void {
    if (this.inUse === 0) this.#startWatch()
    this.#inUse++
    this.#fetching++
    this.#pool.connect().then(
      (client) => {
        this.#fetching--
        this.#pass(client, true)
      },
      (error: unknown) => {
        this.#inUse--
        this.#fetching--
        // Another connection may have served them all meanwhile.
        this.#waiters.shift()?.fail(error)
        this.#fetchForWaiting()
      },
    )
  }

  #fetchForWaiting(): void {
    if (!this.#areAllInUse && this.#fetching === 0) this.#dropIdleSpare()
    if (this.#isClosing || this.#waiters.size === 0) return
    if (this.#idleSpare !== undefined) this.#lendSpare(this.#idleSpare)
    else if (!this.#areAllInUse && this.#waiters.size > this.#fetching) this.#fetch()
  }

  get #areAllInUse(): boolean {
    return this.#inUse >= this.#max
  }

  #lendSpare(client: pg.PoolClient): void {
    this.#idleSpare = undefined
    this.#isSpareInUse = true
    this.#pass(client, true)
  }

  #dropIdleSpare(): void {
    this.#idleSpare?.release(true)
    this.#idleSpare = undefined
  }

  #startWatch(): void {
    this.#heardMs = performance.now()
    this.#watch ??= setInterval(() => {
      if (this.inUse === 0) {
        clearInterval(this.#watch)
        this.#watch = undefined
      } else if (performance.now() - this.#heardMs > silentAfterMs) {
        this.#passOverSilence()
      }
    }, watchIntervalMs).unref()
  }

  #passOverSilence(): void {
    // Once: those that are made from now on are not the ones that say nothing.
    if (this.#replacedBeforeMs < this.#heardMs) this.#replacedBeforeMs = performance.now()
    if (this.#waiters.size > 0 && !this.#isSpareInUse) this.#fetchSpare()
  }

  #fetchSpare(): void {
    if (this.#sparePool === undefined) return
    this.#isSpareInUse = true
    this.#sparePool.connect().then(
      (client) => {
        this.#spares.add(client)
        this.#pass(client, true)
      },
      (error: unknown) => {
        this.#isSpareInUse = false
        // Who waits goes on waiting for those that are in use, until their deadline: they may only be slow.
        this.#onError(error)
      },
    )
  }

  #isReplaced(client: pg.PoolClient): boolean {
    return (this.#madeAtMs.get(client) ?? 0) < this.#replacedBeforeMs
  }
}
