import type { FastifyReply, FastifyRequest } from 'fastify'
import { addressBlock } from '../lib/ip-address.ts'
import { announceLimit, tooManyRequests } from '../limits/answer.ts'
import type { RateLimiter } from '../limits/rate-limiter.ts'

/**
 * The limit on tokens that are refused, by client address: what guessing may cost this service is bounded. Requests with good
 * tokens are not counted, and neither are those without any, as an answer to them costs no more than a refusal.
 */
export type FailedTokens = {
  /**
   * Refuses a request from an address that has used its limit up, before its token is looked at.
   *
   * @param isKnown whether the token was found good a short while ago: others behind the same address go on
   * @throws AppError RATE_LIMITED
   */
  admit(request: FastifyRequest, reply: FastifyReply, isKnown: () => boolean): void
  /** Tells where the address stands, in an answer that counts for nothing else. */
  announce(request: FastifyRequest, reply: FastifyReply): void
  /**
   * Counts a token that was refused, and tells where the address stands then.
   *
   * @throws AppError RATE_LIMITED when other instances, or requests at the same time, have used the limit up
   */
  count(request: FastifyRequest, reply: FastifyReply): Promise<void>
}

/** @param limiter undefined: nothing is limited, and nothing told */
export function createFailedTokens(limiter: RateLimiter | undefined): FailedTokens {
  if (limiter === undefined) return { admit() {}, announce() {}, async count() {} }
  const keyOf = ({ clientAddress }: FastifyRequest) => addressBlock(clientAddress)
  return {
    admit(request, reply, isKnown) {
      const left = limiter.peek(keyOf(request))
      if (left.allowed || isKnown()) return
      announceLimit(reply, limiter, left)
      throw tooManyRequests(left)
    },
    announce(request, reply) {
      announceLimit(reply, limiter, limiter.peek(keyOf(request)))
    },
    async count(request, reply) {
      const left = await limiter.take(keyOf(request))
      announceLimit(reply, limiter, left)
      if (!left.allowed) throw tooManyRequests(left)
    },
  }
}
