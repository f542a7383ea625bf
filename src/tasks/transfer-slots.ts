import { AppError } from '../errors.ts'

/** Most imports and exports under way in one process, each with a temporary file. */
const maxTransfers = 8

/** Most of them for one user, so that one cannot keep all others out. */
const maxTransfersOfUser = 2

/** Most of them at the database at a time; each holds a connection for as long as it is there. */
const maxAtDatabase = 2

const retryAfter = { 'retry-after': '10' }

/** What imports and exports may take of one process. */
export class TransferSlots {
  readonly #byUser = new Map<string, number>()
  readonly #waiting: (() => void)[] = []
  #total = 0
  #atDatabase = 0

  /**
   * Takes a slot, until the function that is returned is called.
   *
   * @throws AppError OVERLOADED when all, or all of the user's, are taken
   */
  take(userId: string): () => void {
    const own = this.#byUser.get(userId) ?? 0
    if (this.#total >= maxTransfers || own >= maxTransfersOfUser) {
      throw new AppError('OVERLOADED', { headers: retryAfter, cause: new Error('All transfers are taken') })
    }
    this.#total++
    this.#byUser.set(userId, own + 1)
    let isTaken = true
    return () => {
      if (!isTaken) return
      isTaken = false
      this.#total--
      const left = (this.#byUser.get(userId) ?? 1) - 1
      if (left === 0) this.#byUser.delete(userId)
      else this.#byUser.set(userId, left)
    }
  }

  /** Does work at the database, once it is its turn. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#atDatabase < maxAtDatabase) this.#atDatabase++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      // The turn goes on to the one who waits longest.
      const next = this.#waiting.shift()
      if (next === undefined) this.#atDatabase--
      else next()
    }
  }
}
