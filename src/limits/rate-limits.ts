import { createRateLimiter, type Quota, type RateLimiter, type SharedBuckets } from './rate-limiter.ts'
import type { RedisBuckets, RedisEvent } from './redis-buckets.ts'

export type RateLimits = {
  /** Of a user's requests, by user id; undefined when it is off. */
  readonly user: RateLimiter | undefined
  /** Of tokens that were refused, by the block of the client's address; undefined when it is off. */
  readonly failedTokens: RateLimiter | undefined
  /** A further limiter, with buckets of its own where the others have theirs. */
  createLimiter(quota: Quota): RateLimiter
  close(): void
}

export type RateLimitsOptions = {
  /** Requests of a user, and refused tokens of an address, in a minute; 0: no such limits. */
  readonly perMinute: number
  /** Where the buckets of all instances are; undefined: each instance counts by itself. */
  readonly redisUrl: string | undefined
  /** The buckets of all processes of this instance, if they are several; those in Redis go before them. */
  readonly shared?: SharedBuckets | undefined
  /** Told when Redis is reached, and when it is lost. */
  readonly onRedisEvent: (event: RedisEvent) => void
  /** How long a request waits for Redis at most; 100 when left out. */
  readonly redisTimeoutMs?: number
}

/**
 * Opens the limits of the service. Buckets are in the memory of this instance, or in Redis for all instances; the client of
 * Redis is loaded only then.
 */
export async function openRateLimits(options: RateLimitsOptions): Promise<RateLimits> {
  const { perMinute, redisUrl, onRedisEvent, redisTimeoutMs } = options
  let redis: RedisBuckets | undefined
  if (redisUrl !== undefined) {
    const { openRedisBuckets } = await import('./redis-buckets.ts')
    redis = openRedisBuckets(redisUrl, onRedisEvent, redisTimeoutMs)
  }
  const shared = redis ?? options.shared
  const createLimiter = (quota: Quota) => createRateLimiter(quota, { shared })
  const perMinuteLimiter = (name: string) =>
    perMinute === 0 ? undefined : createLimiter({ name, requests: perMinute, windowS: 60 })
  return {
    user: perMinuteLimiter('user'),
    failedTokens: perMinuteLimiter('address'),
    createLimiter,
    close: () => redis?.close(),
  }
}
