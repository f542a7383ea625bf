import { createRateLimiter, type Quota, type RateLimiter } from '../limits/rate-limiter.ts'

/** Of requests that check or set a password, to each route from one address. */
export const passwordQuota: Quota = { name: 'passwords', requests: 3, windowS: 10 }

/** Of any other. */
const otherQuota: Quota = { name: 'accounts', requests: 100, windowS: 10 }

/** The routes that check or set a password, below the base path. */
const passwordRoutes: ReadonlySet<string> = new Set([
  '/sign-up/email',
  '/sign-in/email',
  '/change-password',
  '/delete-user',
])

/** Which limiter a route has. */
export type AccountLimits = (route: string) => RateLimiter

/**
 * The limits of the routes of accounts. They hold whatever the limits of tasks are: guessing passwords has to stay slow.
 *
 * @param createLimiter makes a limiter of the service; undefined: buckets in memory
 */
export function createAccountLimits(
  createLimiter: (quota: Quota) => RateLimiter = createRateLimiter,
  passwords: Quota = passwordQuota,
): AccountLimits {
  const [slow, usual] = [createLimiter(passwords), createLimiter(otherQuota)]
  return (route) => (passwordRoutes.has(route) ? slow : usual)
}
