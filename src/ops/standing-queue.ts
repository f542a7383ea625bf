export type StandingQueueBounds = {
  /** A queue that did not empty for so long stands, in milliseconds. */
  readonly intervalMs: number
  /** How long the last that is taken into a standing queue may have to wait, in milliseconds. */
  readonly waitMs: number
  /** So many may wait in any case, however little gets done. */
  readonly minWaiting: number
}

/** How much a new measurement counts. */
const smoothing = 0.3

/**
 * Bounds a queue by how long it takes to get through it. A queue that empties again was a burst: all of it gets done. One
 * that does not is there because more comes than is done, and is held at what is done within the bound (Little's law),
 * whatever the speed. After Controlled Delay (RFC 8289 §3), but by length: the time that those have waited who are
 * through says only later how long those wait who come now.
 */
export class StandingQueue {
  readonly #bounds: StandingQueueBounds
  #didEmpty = true
  #isStanding = false
  #lookedAtMs: number
  #doneAtLook = 0
  /** Measured while the queue stands: else it says what is asked for, not what can be done. */
  #donePerMs: number | undefined

  /** @param nowMs the time of a clock that never goes back */
  constructor(bounds: StandingQueueBounds, nowMs: number) {
    this.#bounds = bounds
    this.#lookedAtMs = nowMs
  }

  /**
   * Whether one more may not wait. To be asked for each that comes: it sees by that whether the queue empties.
   *
   * @param waiting how many wait
   * @param done how many are done, ever
   */
  isFull(waiting: number, done: number, nowMs: number): boolean {
    if (waiting === 0) this.#didEmpty = true
    if (nowMs - this.#lookedAtMs >= this.#bounds.intervalMs) this.#look(done, nowMs)
    return this.#isStanding && waiting >= this.#mostWaiting
  }

  get #mostWaiting(): number {
    const { minWaiting, waitMs } = this.#bounds
    return Math.max(minWaiting, (this.#donePerMs ?? 0) * waitMs)
  }

  #look(done: number, nowMs: number): void {
    const doneSince = done - this.#doneAtLook
    if (this.#didEmpty) this.#isStanding = false
    // Else nothing is done at all: the database is away, rather than too busy, or this is too short a time to tell.
    else if (doneSince > 0) {
      this.#isStanding = true
      this.#measure(doneSince / (nowMs - this.#lookedAtMs))
    }
    this.#didEmpty = false
    this.#lookedAtMs = nowMs
    this.#doneAtLook = done
  }

  #measure(donePerMs: number): void {
    const before = this.#donePerMs ?? donePerMs
    this.#donePerMs = before + (donePerMs - before) * smoothing
  }
}
