import { APIError } from 'better-auth/api'
import { hashPassword, verifyPassword } from 'better-auth/crypto'

/**
 * Hashes worked on at the same time. Each keeps one of the four threads of Node's pool busy for a tenth of a second
 * and holds 32 MB; the other threads are for verifying tokens and all else that waits there.
 */
const maxAtOnce = 2

/** Requests that may wait for their turn; more would wait for longer than a caller does. */
const maxWaiting = 20

/** Better Auth's own hashing (scrypt, N = 16384, r = 16), a few at a time. */
export function limitedPasswords() {
  let underWay = 0
  const waiting: (() => void)[] = []

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (underWay >= maxAtOnce) {
      if (waiting.length >= maxWaiting) {
        const body = {
          code: 'OVERLOADED',
          message: 'Too many passwords are being checked; try again shortly.',
        }
        throw new APIError('SERVICE_UNAVAILABLE', body, { 'retry-after': '2' })
      }
      // Whoever ends hands its place on, so that nobody new comes in between.
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else underWay++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) underWay--
      else next()
    }
  }

  return {
    hash: (password: string) => inTurn(() => hashPassword(password)),
    verify: (given: { hash: string; password: string }) => inTurn(() => verifyPassword(given)),
  }
}
