import { isApiTarget } from '../lib/request-target.ts'
import { StandingQueue, type StandingQueueBounds } from './standing-queue.ts'

export type DelayBounds = {
  /** How often the event loop is looked at, in milliseconds. */
  readonly intervalMs: number
  /** A look that comes later than this was delayed, in milliseconds. */
  readonly highMs: number
  /** So many delayed looks one after the other, and there is too much to do: one alone is a garbage collection. */
  readonly looksToBegin: number
  /** A look that is no later than this was in time, in milliseconds. */
  readonly lowMs: number
  /** So many looks in time one after the other, and it is over. */
  readonly looksToEnd: number
}

/**
 * Begins where clients notice: everything takes 0.2 s longer, for at least 0.9 s. A loop at full load was seen to be
 * late by 0.07 to 0.13 s on a machine that did nothing else.
 */
const defaultDelayBounds: DelayBounds = {
  intervalMs: 100,
  highMs: 200,
  looksToBegin: 3,
  lowMs: 100,
  looksToEnd: 2,
}

/** A burst that is over within the interval is let through; the wait leaves most of a second to the client and the way. */
const queueBounds: Omit<StandingQueueBounds, 'minWaiting'> = { intervalMs: 50, waitMs: 150 }

/**
 * So many clients as usual may wait for each connection where the database is slow for a moment, as after its start when
 * nothing is in its memory: with 64 clients, some got 503 then. The pool's own bound on time holds for these.
 */
const minWaitingPerConnection = 10

/** Between two lines of the log about requests that are refused, in milliseconds. */
const reportMs = 10_000

/** Whether the event loop is delayed for long, by looks at how late a timer is; with hysteresis, so that it does not flap. */
export class LoopDelay {
  readonly #bounds: DelayBounds
  #isHigh = false
  /** Looks in a row that speak against the present state. */
  #looks = 0

  constructor(bounds: DelayBounds = defaultDelayBounds) {
    this.#bounds = bounds
  }

  get isHigh(): boolean {
    return this.#isHigh
  }

  /** @param lateMs how much later than it should the look comes, in milliseconds */
  look(lateMs: number): void {
    const { highMs, looksToBegin, lowMs, looksToEnd } = this.#bounds
    const isAgainst = this.#isHigh ? lateMs <= lowMs : lateMs > highMs
    this.#looks = isAgainst ? this.#looks + 1 : 0
    if (this.#looks < (this.#isHigh ? looksToEnd : looksToBegin)) return
    this.#isHigh = !this.#isHigh
    this.#looks = 0
  }
}

type Log = { warn(fields: object, message: string): void }

/** What waits for the database, and what was done. */
export type DatabaseQueue = {
  /** Whether as much work waits as ever may. */
  readonly isFull: boolean
  readonly usage: { readonly waiting: number; readonly max: number }
  /** Round trips ever made. */
  readonly roundTrips: number
}

export type OverloadOptions = {
  readonly queue: DatabaseQueue
  readonly log: Log
  /** `off` does not look at the event loop, nor at how long a queue has stood. */
  readonly delay?: DelayBounds | 'off' | undefined
}

/**
 * Refuses new requests under /api while there is more to do than can be done: when the event loop is delayed for long,
 * or as many wait for the database as may. Requests and streams that have begun go on.
 */
export class Overload {
  readonly #queue: DatabaseQueue
  readonly #standing: StandingQueue | undefined
  readonly #log: Log
  readonly #delay: LoopDelay
  readonly #timer: NodeJS.Timeout | undefined
  #refused = 0
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #longestDelayMs = 0

  constructor({ queue, log, delay = defaultDelayBounds }: OverloadOptions) {
    this.#queue = queue
    this.#log = log
    this.#delay = new LoopDelay(delay === 'off' ? undefined : delay)
    if (delay === 'off') return
    this.#timer = this.#lookEvery(delay.intervalMs)
    const minWaiting = queue.usage.max * minWaitingPerConnection
    this.#standing = new StandingQueue({ ...queueBounds, minWaiting }, performance.now())
  }

  /** Whether there is too much to do for a new request with this target. */
  readonly refuses = (target: string): boolean => {
    if (!isApiTarget(target)) return false
    if (!this.#isQueueFull() && !this.#delay.isHigh) return false
    this.#refused++
    this.#report()
    return true
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #isQueueFull(): boolean {
    const { usage, roundTrips, isFull } = this.#queue
    return isFull || this.#standing?.isFull(usage.waiting, roundTrips, performance.now()) === true
  }

  #lookEvery(intervalMs: number): NodeJS.Timeout {
    let lastMs = performance.now()
    return setInterval(() => {
      const now = performance.now()
      const lateMs = now - lastMs - intervalMs
      lastMs = now
      this.#longestDelayMs = Math.max(this.#longestDelayMs, lateMs)
      this.#delay.look(lateMs)
    }, intervalMs).unref()
  }

  /** One line for many. */
  #report(): void {
    const now = performance.now()
    if (now - this.#reportedAtMs < reportMs) return
    this.#log.warn(
      {
        refused: this.#refused,
        reason: this.#delay.isHigh ? 'event loop' : 'database queue',
        longest_delay_ms: Math.round(this.#longestDelayMs),
      },
      'overloaded: requests are refused',
    )
    this.#reportedAtMs = now
    this.#refused = 0
    this.#longestDelayMs = 0
  }
}
