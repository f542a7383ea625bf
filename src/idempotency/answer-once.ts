import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Database, UserScope } from '../db/database.ts'
import { AppError } from '../errors.ts'
import { type Failure, failure, type Success, success } from '../http/envelope.ts'
import { claimKey, type KeptAnswer, keepAnswer } from './store.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The key and the fingerprint of a request of an idempotent operation; null without a key. */
    idempotency: { readonly key: string; readonly fingerprint: string } | null
  }
  interface FastifyContextConfig {
    /** The operation takes an Idempotency-Key: its handler answers by answerOnce, and only so. */
    readonly idempotent?: boolean
  }
}

/** What an idempotent operation answers when it succeeds. */
export type Answer = {
  readonly status: number
  readonly data: unknown
  readonly etag?: string
  readonly location?: string
}

/**
 * Statuses of errors that answer a request which was understood: they are kept. The others (400, 401, 403, 413, 415, 429,
 * 5xx) say that it was not, or not yet: the next try may do better.
 */
const keptStatuses = new Set([404, 409, 410, 412, 422])

/**
 * Answers a request by performing it, or, when its Idempotency-Key has an answer, by that one (IETF draft
 * httpapi-idempotency-key-header). Key and answer are written in the transaction of the work itself: there are both, or
 * neither. Without a key it only performs.
 *
 * @param perform does the work in the scope that it is given. An AppError that it throws is an answer too, and commits
 *   what it wrote: work that may fail after a write puts both in `scope.transaction`
 * @returns the body to send; status and headers are set
 * @throws AppError IDEMPOTENCY_KEY_REUSED when the key belongs to another request; IDEMPOTENCY_IN_PROGRESS while a
 *   request with the key is under way; what perform throws, when it is no answer to keep
 */
export async function answerOnce(
  database: Database,
  request: FastifyRequest,
  reply: FastifyReply,
  perform: (scope: UserScope) => Promise<Answer>,
): Promise<Success<unknown> | Failure> {
  const { idempotency, userId, routeOptions } = request
  if (routeOptions.config.idempotent !== true || idempotency === undefined)
    throw new Error(`${routeOptions.url} is not set up as idempotent`)
  const scope = database.scopeFor(userId)
  if (idempotency === null) return send(request, reply, await perform(scope))
  const { key, fingerprint } = idempotency
  const { answer, isReplay } = await scope.transaction(async (transaction) => {
    const { isOurs, kept } = await claimKey(transaction, key)
    if (kept !== undefined) {
      if (kept.fingerprint !== fingerprint) throw new AppError('IDEMPOTENCY_KEY_REUSED')
      return { answer: kept.answer, isReplay: true }
    }
    if (!isOurs) throw new AppError('IDEMPOTENCY_IN_PROGRESS', { headers: { 'retry-after': '1' } })
    const made = await settle(() => perform(transaction))
    keepAnswer(transaction, key, fingerprint, made)
    return { answer: made, isReplay: false }
  })
  if (isReplay) reply.header('idempotency-replayed', 'true')
  return send(request, reply, answer)
}

/** The answer or the error to keep. */
async function settle(perform: () => Promise<Answer>): Promise<KeptAnswer> {
  try {
    return await perform()
  } catch (error) {
    if (!(error instanceof AppError) || !keptStatuses.has(error.status)) throw error
    const { status, code, message, details, headers } = error
    const { etag } = headers
    return { status, error: { code, message, details }, ...(etag !== undefined && { etag }) }
  }
}

function send(request: FastifyRequest, reply: FastifyReply, answer: KeptAnswer): Success<unknown> | Failure {
  const { status, etag, location } = answer
  reply.code(status)
  if (etag !== undefined) reply.header('etag', etag)
  if (location !== undefined) reply.header('location', location)
  if (!('error' in answer)) return success(request, answer.data)
  request.errorCode = answer.error.code
  return failure(request.id, answer.error)
}
