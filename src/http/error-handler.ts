import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError, type ErrorCode } from '../errors.ts'
import { failure } from './envelope.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The code of the error that the request was answered with, or null. */
    errorCode: ErrorCode | null
  }
}

/** Fastify's own errors that a request can cause, as ours. */
const frameworkErrors: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_REQUEST',
}

/** Anything thrown, as an error of the catalogue; what is not known is INTERNAL_ERROR with its cause. */
export function toCatalogued(error: unknown): AppError {
  if (error instanceof AppError) return error
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const known = typeof code === 'string' ? frameworkErrors[code] : undefined
  if (known !== undefined) return new AppError(known, { cause: error })
  if (code === 'ECONNRESET') return new AppError('BAD_REQUEST', { cause: error })
  return new AppError('INTERNAL_ERROR', { cause: error })
}

/**
 * Answers with the error's envelope. The log learns the code of any error, and the cause of a 5xx; the cause of others
 * is left out, as it can quote what the client sent.
 */
export function handleError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toCatalogued(error)
  request.errorCode = known.code
  // Of what is refused because there is too much of it there is a count; a line more for each would add to it.
  const isCounted = known.code === 'OVERLOADED' && known.cause === undefined
  if (known.status >= 500 && !isCounted)
    request.log.error({ err: known.cause ?? known, code: known.code }, 'request failed')
  return reply
    .code(known.status)
    .headers(known.headers)
    .type('application/json; charset=utf-8')
    .send(failure(request.id, known))
}
