import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import { failure } from './envelope.ts'

/** Fastify's own errors that a request can cause, as ours. */
const frameworkErrors: Readonly<Record<string, ConstructorParameters<typeof AppError>[0]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_REQUEST',
  FST_ERR_BAD_URL: 'INVALID_URL',
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
 * Answers with the error's envelope and logs what the client is not told: a 5xx with its cause, and the cause of any
 * other error that has one.
 */
export function handleError(error: FastifyError | unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toCatalogued(error)
  if (known.status >= 500) {
    request.log.error({ err: known.cause ?? known, code: known.code }, 'request failed')
  } else if (known.cause !== undefined) {
    request.log.info({ err: known.cause, code: known.code }, 'request refused')
  }
  return reply.code(known.status).headers(known.headers).type('application/json; charset=utf-8').send(failure(request.id, known))
}
