import { BucketStore } from './bucket-store.ts'

/** What a look at a bucket found. */
export type Bucket = {
  /** Whether a request was taken out of it. */
  readonly allowed: boolean
  /** Microseconds until the bucket is full. */
  readonly backlogUs: number
}

/**
 * The most buckets of one limit: about 10 MB with keys as long as an address. Whoever has more addresses than that has
 * more requests than a limit by address could keep from them.
 */
const defaultCapacity = 100_000

export const monotonicUs = () => Math.floor(performance.now() * 1000)

export type LocalBucketsOptions = {
  /** A clock that never goes back, in microseconds. */
  readonly nowUs?: () => number
  /** The most buckets kept. */
  readonly capacity?: number
}

/**
 * The buckets of one limit, in the memory of this process, by the generic cell rate algorithm (ITU-T I.371, annex A),
 * which is a token bucket that is kept as one number: the time at which it is full again.
 */
export class LocalBuckets {
  readonly #intervalUs: number
  readonly #periodUs: number
  readonly #nowUs: () => number
  readonly #store: BucketStore

  /**
   * @param intervalUs how long one request takes to become free
   * @param periodUs how long all of them take
   */
  constructor(intervalUs: number, periodUs: number, options: LocalBucketsOptions = {}) {
    const { nowUs = monotonicUs, capacity = defaultCapacity } = options
    this.#intervalUs = intervalUs
    this.#periodUs = periodUs
    this.#nowUs = nowUs
    this.#store = new BucketStore(capacity, periodUs)
  }

  /** Takes one request out of a bucket, if there is one. */
  take(key: string): Bucket {
    const now = this.#nowUs()
    const { allowed, backlogUs } = this.#look(key, now)
    if (!allowed) return { allowed, backlogUs }
    this.#store.set(key, now + backlogUs + this.#intervalUs, now)
    return { allowed, backlogUs: backlogUs + this.#intervalUs }
  }

  /** Whether there is a request in a bucket, which stays as it is. */
  peek(key: string): Bucket {
    return this.#look(key, this.#nowUs())
  }

  /** Takes down what others say of a bucket. */
  note(key: string, backlogUs: number): void {
    const now = this.#nowUs()
    this.#store.set(key, now + backlogUs, now)
  }

  #look(key: string, now: number): Bucket {
    const backlogUs = Math.min(Math.max(this.#store.get(key) - now, 0), this.#periodUs)
    return { allowed: backlogUs + this.#intervalUs <= this.#periodUs, backlogUs }
  }
}
