import type pg from 'pg'
import { LinkedList } from '../lib/linked-list.ts'
import type { Connections } from './connections.ts'
import type { Deadline } from './deadline.ts'
import type { Exchange } from './exchange.ts'
import { Pipeline } from './pipeline.ts'
import { isRefusal, stopping } from './sqlstate.ts'

/**
 * Most reads that go over one connection together. With 16 a GET takes a tenth less of the processor than with 8, but the last
 * of them waits for twice as many.
 */
const maxTogether = 8

/** A read that waits to be sent, or for its answer. */
class Read {
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
 * Sends short reads of several requests over one connection at a time, without waiting for the answer to one before the next is
 * sent. What is asked within one turn of the event loop, or while no connection is free, goes together: so the more there is to
 * do, the less each read costs the service and PostgreSQL, which need not be woken for it alone.
 *
 * It is for what waits for no lock and reads little, as whatever is behind it on its connection waits with it. When a connection
 * breaks, or one of the reads on it is given up, it is closed once all have ended.
 */
export class Pipelines {
  readonly #connections: Connections
  readonly #waiting = new LinkedList<Read>()
  readonly #underWay = new LinkedList<Read>()
  /** Connections that were asked for. */
  #fetching = 0
  #isTurnEnding = false

  constructor(connections: Connections) {
    this.#connections = connections
  }

  /** Reads that wait for a connection, beyond the connections that wait to be had for them. */
  get waiting(): number {
    return Math.max(0, this.#waiting.size - this.#fetching)
  }

  /**
   * @param begin makes the exchange, when there is a connection for it
   * @throws AppError DATABASE_UNAVAILABLE when there is no answer in time; what connecting failed with; what the exchange fails with
   */
  async run(begin: () => Exchange, deadline: Deadline): Promise<void> {
    const read = new Read(begin)
    const place = this.#waiting.append(read)
    this.#fetchAfterTurn()
    try {
      await deadline.within(read.done)
    } catch (error) {
      if (!this.#waiting.remove(place)) {
        read.fail(error)
        // What this connection met, the others would meet one by one.
        if (!isRefusal(error) && deadline.isOver()) this.#connections.replaceAll()
      }
      throw error
    }
  }

  /** Gives up all that waits or is under way; the connections are to be closed after it. */
  close(): void {
    for (let read = this.#waiting.shift(); read !== undefined; read = this.#waiting.shift())
      read.fail(stopping())
    for (const read of this.#underWay) read.fail(stopping())
  }

  #fetchAfterTurn(): void {
    if (this.#isTurnEnding) return
    this.#isTurnEnding = true
    setImmediate(() => {
      this.#isTurnEnding = false
      this.#fetch()
    })
  }

  /** Asks for as many connections as all that waits would fill. */
  #fetch(): void {
    while (this.#fetching * maxTogether < this.#waiting.size) {
      this.#fetching++
      this.#connections.take().then(
        (client) => {
          this.#fetching--
          this.#send(client)
        },
        (error: unknown) => {
          this.#fetching--
          // Each may be tried again; to try to connect for each of them alone would take too long.
          for (let count = 0; count < maxTogether; count++) this.#waiting.shift()?.fail(error)
          this.#fetch()
        },
      )
    }
  }

  #send(client: pg.PoolClient): void {
    const reads = this.#takeTogether(client)
    if (reads.length === 0) {
      // Another connection was free sooner.
      this.#connections.giveBack(client, true)
      return
    }
    // Where they could not all go together.
    this.#fetch()
    let left = reads.length
    let isGood = true
    for (const read of reads) {
      const place = this.#underWay.append(read)
      const end = (isAnswer: boolean) => {
        this.#underWay.remove(place)
        isGood &&= isAnswer
        if (isAnswer) this.#connections.hear()
        left--
        if (left === 0) this.#connections.giveBack(client, isGood)
      }
      read.exchange.result.then(
        () => {
          read.succeed()
          end(true)
        },
        (error: unknown) => {
          read.fail(error)
          end(isRefusal(error))
        },
      )
    }
    new Pipeline(
      client,
      reads.map(({ exchange }) => exchange),
    ).start()
  }

  /** Those that waited longest, up to one that this connection has yet to prepare: of that nothing behind it could be sure. */
  #takeTogether(client: pg.PoolClient): Read[] {
    const reads: Read[] = []
    while (reads.length < maxTogether) {
      const read = this.#waiting.shift()
      if (read === undefined) break
      reads.push(read)
      if (!read.exchange.isPreparedOn(client)) break
    }
    return reads
  }
}
