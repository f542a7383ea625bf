import { BucketStore } from './bucket-store.ts'

/** How many requests one key may make. */
export type Quota = {
  /** How the headers call it: lower-case letters and `-`. */
  readonly name: string
  /** Requests that may come at once, and so many again in each window. */
  readonly requests: number
  readonly windowS: number
}

/** What a bucket holds after a look at it. */
export type Allowance = {
  readonly allowed: boolean
  /** Requests that may be made now. */
  readonly remaining: number
  /** Seconds, rounded up, until there is one more of them; 0 when the bucket is full. */
  readonly nextS: number
}

/** Buckets that several instances share. */
export type SharedBuckets = {
  /**
   * Takes one request out of a bucket, in one step for all instances.
   *
   * @returns undefined when the buckets cannot be reached, at once if that is known
   */
  take(key: string, intervalUs: number, periodUs: number): Promise<SharedBucket | undefined> | undefined
}

export type SharedBucket = {
  readonly allowed: boolean
  /** Microseconds until the bucket is full. */
  readonly backlogUs: number
}

/** A limit on requests, with a bucket for each key. */
export type RateLimiter = {
  readonly quota: Quota
  /** Takes one request out of the key's bucket, if there is one; at once, where no buckets are shared. */
  take(key: string): Allowance | Promise<Allowance>
  /** What this instance knows of the key's bucket, which stays as it is. */
  peek(key: string): Allowance
}

/**
 * The most buckets of one limit: about 10 MB with keys as long as an address. Whoever has more addresses than that has
 * more requests than a limit by address could keep from them.
 */
const defaultCapacity = 100_000

const monotonicUs = () => Math.floor(performance.now() * 1000)

/**
 * Makes a limiter by the generic cell rate algorithm (ITU-T I.371, annex A), which is a token bucket that is kept as one
 * number: the time at which it is full again. Chosen over counting in windows, as no moment lets twice the quota through and
 * nobody who has used it up waits for more than the next request to become free.
 *
 * Shared buckets decide where they are given; what they say is noted here, so that the count goes on from there when they
 * cannot be reached.
 *
 * @param options.shared the buckets of all instances; none: each instance counts by itself
 * @param options.nowUs a clock that never goes back, in microseconds
 * @param options.capacity the most buckets kept in memory
 */
export function createRateLimiter(
  quota: Quota,
  options: {
    readonly shared?: SharedBuckets | undefined
    readonly nowUs?: () => number
    readonly capacity?: number
  } = {},
): RateLimiter {
  const { shared, nowUs = monotonicUs, capacity = defaultCapacity } = options
  // Whole microseconds, so that sums of them are exact.
  const intervalUs = Math.max(1, Math.round((quota.windowS * 1_000_000) / quota.requests))
  const periodUs = intervalUs * quota.requests
  const store = new BucketStore(capacity, periodUs)

  const describe = (allowed: boolean, backlogUs: number): Allowance => {
    const remaining = Math.floor((periodUs - backlogUs) / intervalUs)
    const nextUs = backlogUs === 0 ? 0 : backlogUs - periodUs + (remaining + 1) * intervalUs
    return { allowed, remaining, nextS: Math.ceil(nextUs / 1_000_000) }
  }
  const backlogOf = (key: string, now: number) => Math.min(Math.max(store.get(key) - now, 0), periodUs)

  const takeHere = (key: string): Allowance => {
    const now = nowUs()
    const backlogUs = backlogOf(key, now)
    if (backlogUs + intervalUs > periodUs) return describe(false, backlogUs)
    store.set(key, now + backlogUs + intervalUs, now)
    return describe(true, backlogUs + intervalUs)
  }
  const takeShared = async (key: string, taken: Promise<SharedBucket | undefined>): Promise<Allowance> => {
    const bucket = await taken
    if (bucket === undefined) return takeHere(key)
    const now = nowUs()
    store.set(key, now + bucket.backlogUs, now)
    return describe(bucket.allowed, bucket.backlogUs)
  }

  return {
    quota,
    take(key) {
      const taken = shared?.take(`${quota.name}:${key}`, intervalUs, periodUs)
      return taken === undefined ? takeHere(key) : takeShared(key, taken)
    },
    peek(key) {
      const backlogUs = backlogOf(key, nowUs())
      return describe(backlogUs + intervalUs <= periodUs, backlogUs)
    },
  }
}
