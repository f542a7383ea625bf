import { databaseUnavailable } from './sqlstate.ts'

/** Over the server's own time-out: this long it has to say that it has ended the statement. */
const graceMs = 200

/** The time that a piece of work on the database may take, from now on. */
export class Deadline {
  readonly #endsAtMs: number
  readonly #timer: NodeJS.Timeout
  #passed: Error | undefined
  #giveUp: ((error: Error) => void) | undefined

  /** @param limitMs in milliseconds */
  constructor(limitMs: number) {
    this.#endsAtMs = performance.now() + limitMs
    this.#timer = setTimeout(() => {
      this.#passed = databaseUnavailable(new Error('The database did not answer within the deadline'))
      this.#giveUp?.(this.#passed)
    }, limitMs + graceMs)
  }

  /**
   * Waits for something until the time is over, for one thing at a time. It costs less than Promise.race, which every
   * request would pay for twice.
   *
   * @throws AppError DATABASE_UNAVAILABLE once the time is over
   */
  within<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#giveUp = reject
      // Also where it comes too late: whoever no longer waits for it need not hear of it.
      work.then(resolve, reject)
      if (this.#passed !== undefined) reject(this.#passed)
    })
  }

  /** What is left for the server, in milliseconds, at least 1: it ends a slow statement itself. */
  remainingMs(): number {
    return Math.max(1, Math.ceil(this.#endsAtMs - performance.now()))
  }

  isOver(): boolean {
    return performance.now() >= this.#endsAtMs
  }

  cancel(): void {
    clearTimeout(this.#timer)
  }
}
