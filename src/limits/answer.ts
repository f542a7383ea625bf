import { AppError } from '../errors.ts'
import type { Allowance, RateLimiter } from './rate-limiter.ts'

/** What an answer is written on. */
type Reply = { header(name: string, value: string): unknown }

/**
 * Tells the client of a limit that its request counts for, by RateLimit-Policy and RateLimit (Internet-Draft
 * draft-ietf-httpapi-ratelimit-headers-11 §3 and §4). `t` is when one request more becomes free: within that time the
 * client can make no more than `r`.
 */
export function announceLimit(reply: Reply, { quota }: RateLimiter, { remaining, nextS }: Allowance): void {
  reply.header('ratelimit-policy', `"${quota.name}";q=${quota.requests};w=${quota.windowS}`)
  reply.header('ratelimit', `"${quota.name}";r=${remaining};t=${nextS}`)
}

/** The refusal of a request that is one too many. */
export function tooManyRequests({ nextS }: Allowance): AppError {
  return new AppError('RATE_LIMITED', { headers: { 'retry-after': String(Math.max(1, nextS)) } })
}
