import { createRateLimiter, type Quota, type RateLimiter } from './rate-limiter.ts'
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

/**
 * Opens the limits of the service. Buckets are in the memory of this instance, or in Redis for all instances; the client of
 * Redis is loaded only then.
 *
 * @param options.perMinute requests of a user, and refused tokens of an address, in a minute; 0: no such limits
 * @param options.redisUrl where the shared buckets are; undefined: each instance counts by itself
 * @param options.onRedisEvent told when Redis is reached, and when it is lost
 * @param options.redisTimeoutMs how long a request waits for Redis at most; 100 when left out
 */
export async function openRateLimits(options: {
  readonly perMinute: number
  readonly redisUrl: string | undefined
  readonly onRedisEvent: (event: RedisEvent) => void
  readonly redisTimeoutMs?: number
}): Promise<RateLimits> {
  const { perMinute, redisUrl, onRedisEvent, redisTimeoutMs } = options
  let shared: RedisBuckets | undefined
  if (redisUrl !== undefined) {
    const { openRedisBuckets } = await import('./redis-buckets.ts')
    shared = openRedisBuckets(redisUrl, onRedisEvent, redisTimeoutMs)
  }
  const createLimiter = (quota: Quota) => createRateLimiter(quota, { shared })
  const perMinuteLimiter = (name: string) =>
    perMinute === 0 ? undefined : createLimiter({ name, requests: perMinute, windowS: 60 })
  return {
    user: perMinuteLimiter('user'),
    failedTokens: perMinuteLimiter('address'),
    createLimiter,
    close: () => shared?.close(),
  }
}
