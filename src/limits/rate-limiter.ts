import { type Bucket, LocalBuckets, type LocalBucketsOptions } from './local-buckets.ts'

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

/** Buckets that several processes share. */
export type SharedBuckets = {
  /**
   * Takes one request out of a bucket, in one step for all who share it.
   *
   * @param key the name of the limit, `:`, and whom it is for
   * @returns undefined when the buckets cannot be reached, at once if that is known
   */
  take(key: string, intervalUs: number, periodUs: number): Promise<Bucket | undefined> | undefined
}

/** A limit on requests, with a bucket for each key. */
export type RateLimiter = {
  readonly quota: Quota
  /** Takes one request out of the key's bucket, if there is one; at once, where no buckets are shared. */
  take(key: string): Allowance | Promise<Allowance>
  /** What this process knows of the key's bucket, which stays as it is. */
  peek(key: string): Allowance
}

/**
 * Makes a limiter whose buckets fill up evenly. Chosen over counting in windows, as no moment lets twice the quota through
 * and nobody who has used it up waits for more than the next request to become free.
 *
 * Shared buckets decide where they are given; what they say is noted here, so that the count goes on from there when they
 * cannot be reached.
 *
 * @param options.shared the buckets of all who share them; none: this process counts by itself
 */
export function createRateLimiter(
  quota: Quota,
  { shared, ...options }: LocalBucketsOptions & { readonly shared?: SharedBuckets | undefined } = {},
): RateLimiter {
  // Whole microseconds, so that sums of them are exact.
  const intervalUs = Math.max(1, Math.round((quota.windowS * 1_000_000) / quota.requests))
  const periodUs = intervalUs * quota.requests
  const local = new LocalBuckets(intervalUs, periodUs, options)

  const describe = ({ allowed, backlogUs }: Bucket): Allowance => {
    const remaining = Math.floor((periodUs - backlogUs) / intervalUs)
    const nextUs = backlogUs === 0 ? 0 : backlogUs - periodUs + (remaining + 1) * intervalUs
    return { allowed, remaining, nextS: Math.ceil(nextUs / 1_000_000) }
  }
  const takeShared = async (key: string, taken: Promise<Bucket | undefined>): Promise<Allowance> => {
    const bucket = await taken
    if (bucket === undefined) return describe(local.take(key))
    local.note(key, bucket.backlogUs)
    return describe(bucket)
  }

  return {
    quota,
    take(key) {
      const taken = shared?.take(`${quota.name}:${key}`, intervalUs, periodUs)
      return taken === undefined ? describe(local.take(key)) : takeShared(key, taken)
    },
    peek: (key) => describe(local.peek(key)),
  }
}
