import type pg from 'pg'
import { LinkedList } from '../lib/linked-list.ts'
import type { Connections } from './connections.ts'
import type { Deadline } from './deadline.ts'
import type { Exchange } from './exchange.ts'
import { Pipeline } from './pipeline.ts'
import { isReadOnly, isRefusal, stopping } from './sqlstate.ts'

/** How the pieces of work that are waiting are divided. */
export type Division = {
  /** Most that go over one connection together. */
  readonly most: number
  /** Over how many connections they are spread before they go together: 1 where that only costs. */
  readonly spread: number
}

/** A piece of work that waits to be sent, or for its answer. */
class Work {
  readonly done: Promise<void>
  readonly #begin: () => Exchange
  readonly #settle: { resolve: () => void; reject: (error: unknown) => void }
  #exchange: Exchange | undefined

  constructor(begin: () => Exchange) {
    this.#begin = begin
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.done = promise
    this.#settle = { resolve, reject }
  }

  /** Its exchange, made when it is first asked for. */
  get exchange(): Exchange {
    this.#exchange ??= this.#begin()
    return this.#exchange
  }

  succeed(): void {
    this.#settle.resolve()
  }

  /** Also ends the wait for an answer that is still to come. */
  fail(error: unknown): void {
    this.#exchange?.handleError(error)
    this.#settle.reject(error)
  }
}

/**
 * Sends short statements of several requests over one connection, without waiting for the answer to one before the next is
 * sent. What is asked within one turn of the event loop, or while no connection is free, goes together: so the more there is to
 * do, the less each costs the service and PostgreSQL, which need not be woken for it alone.
 *
 * Whatever is behind a piece of work on its connection waits with it, so it is for what does little and does not wait
 * for locks. When a connection breaks, or one piece of work on it is given up, it is closed once all have ended.
 */
export class Pipelines {
  readonly #connections: Connections
  readonly #division: Division
  readonly #waiting = new LinkedList<Work>()
  readonly #underWay = new LinkedList<Work>()
  /** Connections that were asked for. */
  #fetching = 0
  #isTurnEnding = false

  constructor(connections: Connections, division: Division) {
    this.#connections = connections
    this.#division = division
  }

  /** Pieces of work that wait for a connection, beyond the connections that wait to be had for them. */
  get waiting(): number {
    return Math.max(0, this.#waiting.size - this.#fetching)
  }

  /**
   * @param begin makes the exchange, when there is a connection for it
   * @throws AppError DATABASE_UNAVAILABLE when there is no answer in time; what connecting failed with; what the exchange fails with
   */
  async run(begin: () => Exchange, deadline: Deadline): Promise<void> {
    const work = new Work(begin)
    const place = this.#waiting.append(work)
    this.#fetchAfterTurn()
    try {
      await deadline.within(work.done)
    } catch (error) {
      if (!this.#waiting.remove(place)) {
        work.fail(error)
        // What this connection met, the others would meet one by one.
        if (isReadOnly(error) || (!isRefusal(error) && deadline.isOver())) this.#connections.replaceAll()
      }
      throw error
    }
  }

  /** Gives up all that waits or is under way; the connections are to be closed after it. */
  close(): void {
    for (let work = this.#waiting.shift(); work !== undefined; work = this.#waiting.shift())
      work.fail(stopping())
    for (const work of this.#underWay) work.fail(stopping())
  }

  #fetchAfterTurn(): void {
    if (this.#isTurnEnding) return
    this.#isTurnEnding = true
    setImmediate(() => {
      this.#isTurnEnding = false
      this.#fetch()
    })
  }

  /** Asks for as many connections as all that waits is to have. */
  #fetch(): void {
    const { most, spread } = this.#division
    const { size } = this.#waiting
    const wanted = Math.max(Math.min(size, spread), Math.ceil(size / most))
    while (this.#fetching < wanted) {
      this.#fetching++
      this.#connections.take().then(
        (client) => {
          this.#fetching--
          this.#send(client)
        },
        (error: unknown) => {
          this.#fetching--
          // Each may be tried again; to try to connect for each of them alone would take too long.
          for (let count = 0; count < most; count++) this.#waiting.shift()?.fail(error)
          this.#fetch()
        },
      )
    }
  }

  #send(client: pg.PoolClient): void {
    const all = this.#takeTogether(client)
    if (all.length === 0) {
      // Another connection was free sooner.
      this.#connections.giveBack(client, true)
      return
    }
    // Where they could not all go together.
    this.#fetch()
    let left = all.length
    let isGood = true
    for (const work of all) {
      const place = this.#underWay.append(work)
      const end = (isAnswer: boolean) => {
        this.#underWay.remove(place)
        isGood &&= isAnswer
        if (isAnswer) this.#connections.hear()
        left--
        if (left === 0) this.#connections.giveBack(client, isGood)
      }
      work.exchange.result.then(
        () => {
          work.succeed()
          end(true)
        },
        (error: unknown) => {
          work.fail(error)
          end(isRefusal(error))
        },
      )
    }
    this.#start(client, all)
  }

  #start(client: pg.PoolClient, all: readonly Work[]): void {
    const exchanges = all.map(({ exchange }) => exchange)
    try {
      new Pipeline(client, exchanges).start()
    } catch (error) {
      // A value that cannot be written, say: what was sent of them is not known, and the connection goes with them.
      for (const work of all) work.fail(error)
    }
  }

  /**
   * Those that waited longest, as many as leave the rest to the connections still to come, up to one that this connection has yet
   * to prepare: of that nothing behind it could be sure.
   */
  #takeTogether(client: pg.PoolClient): Work[] {
    const share = Math.ceil(this.#waiting.size / (this.#fetching + 1))
    const count = Math.min(this.#division.most, share)
    const all: Work[] = []
    while (all.length < count) {
      const work = this.#waiting.shift()
      if (work === undefined) break
      all.push(work)
      if (!work.exchange.isPreparedOn(client)) break
    }
    return all
  }
}
