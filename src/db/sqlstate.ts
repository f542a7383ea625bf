import pg from 'pg'
import { AppError } from '../errors.ts'

/**
 * SQLSTATE codes and classes that mean: the database cannot serve now, and the statement was not committed
 * (PostgreSQL documentation, Appendix A).
 */
const unavailable = [
  /^08/, // connection exception
  /^53/, // insufficient resources: disk full, out of memory, too many connections
  /^57P0/, // shut down, crashed, starting up
  /^57014$/, // cancelled by the time-out
  /^58/, // system error, e.g. an I/O error
  /^40/, // serialization failure, deadlock
  /^25006$/, // read-only: a standby, or a failover under way
  /^55P03$/, // lock not available
  /^28/, // the password or role is refused
  /^3D000$/, // the database does not exist
]

/**
 * A prepared statement is missing or there already (SQLSTATE 26000, 42P05): a pooler has changed the connection behind
 * this one. Nothing of the transaction was done.
 */
export function isPreparedStatementLost(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === '26000' || error.code === '42P05')
}

/**
 * The server has rolled the transaction back so that others could go on: a serialization failure or a deadlock
 * (SQLSTATE 40001, 40P01). Run again, it may well succeed.
 */
export function isConflict(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === '40001' || error.code === '40P01')
}

/** The server takes no writes (SQLSTATE 25006): it is a standby, or no longer the primary. */
export function isReadOnly(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '25006'
}

/** A lock was not to be had within `lock_timeout` (SQLSTATE 55P03): nothing of the transaction was done. */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03'
}

/**
 * The connection was lost, or the server ended it: what was under way may have been committed or not. For work that only
 * reads it makes no difference.
 */
export function isConnectionLost(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return /^(?:08|57P0)/.test(error.code ?? '')
  return error instanceof Error && isUnavailable(error)
}

/** The server answered that it will not do this: the connection is as good as before. */
export function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !isConnectionLost(error)
}

/** Codes of Node's own errors when a connection cannot be made or is lost. */
const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT', // the Unix socket of a server that is down
])

/** Codes of OpenSSL and of Node's TLS: the server's certificate or protocol is refused. */
const tlsCodes = /^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/

/** Messages by which pg and its pool report a lost or missing connection; they carry no code. */
const connectionMessages =
  /^(?:The server does not support SSL|Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered)/

/**
 * Maps what the driver threw to DATABASE_UNAVAILABLE where the database is away or cannot serve; anything else comes
 * back as it is.
 */
export function toAppError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AppError || !isUnavailable(error)) return error
  return databaseUnavailable(error)
}

/** The error for a database that cannot be had; the cause is for the log. */
export function databaseUnavailable(cause: unknown): AppError {
  return new AppError('DATABASE_UNAVAILABLE', { cause, headers: { 'retry-after': '1' } })
}

/** The error for what a stop of the service gives up. */
export function stopping(): AppError {
  return databaseUnavailable(new Error('The service is stopping'))
}

function isUnavailable(error: Error): boolean {
  if (error instanceof pg.DatabaseError) return unavailable.some((each) => each.test(error.code ?? ''))
  if (error instanceof AggregateError)
    return error.errors.some((each) => each instanceof Error && isUnavailable(each))
  const code = 'code' in error ? error.code : undefined
  if (typeof code === 'string' && (networkCodes.has(code) || tlsCodes.test(code))) return true
  return connectionMessages.test(error.message)
}
