import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { Database } from '../db/database.ts'
import { AppError } from '../errors.ts'
import type { App } from '../http/server.ts'
import { answerOnce } from './answer-once.ts'
import { fingerprintOf } from './fingerprint.ts'
import { IdempotencyHeaders, isKey } from './schema.ts'

/**
 * Sets up the routes registered after it that are marked as idempotent: it reads key and fingerprint before validation,
 * and keeps the answer to a request that fails validation. A handler never sees such a request.
 */
export function registerIdempotency(app: App, database: Database): void {
  app.decorateRequest('idempotency', null)
  app.addHook('onRoute', (route) => {
    if (route.config?.idempotent !== true) return
    if (!checksKey(route)) throw new Error(`${route.url} is idempotent and does not check its header`)
    route.preValidation = [readIdempotency, ...[route.preValidation ?? []].flat()]
    route.errorHandler = (error, request, reply) => answerInvalid(database, error, request, reply)
  })
}

async function readIdempotency(request: FastifyRequest): Promise<void> {
  const key = request.headers['idempotency-key']
  // One that is no key does not pass validation.
  if (isKey(key)) request.idempotency = { key, fingerprint: fingerprintOf(request) }
}

async function answerInvalid(
  database: Database,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  // What it throws goes to the server's own handler.
  if (request.idempotency === null || !isInvalid(error)) throw error
  return answerOnce(database, request, reply, () => Promise.reject(error))
}

/** answerOnce throws no such error of a request with a key, so that this one came before it. */
function isInvalid(error: unknown): boolean {
  return error instanceof AppError && error.code === 'VALIDATION_FAILED'
}

function checksKey({ schema }: RouteOptions): boolean {
  const headers = schema?.headers
  if (typeof headers !== 'object' || headers === null || !('properties' in headers)) return false
  const { properties } = headers
  return (
    typeof properties === 'object' &&
    properties !== null &&
    Object.keys(IdempotencyHeaders.properties).every((name) => name in properties)
  )
}
