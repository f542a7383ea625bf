import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ErrorCode } from '../errors.ts'
import { newId } from '../lib/ids.ts'
import { failure } from './envelope.ts'
import { securityHeaders } from './security-headers.ts'

const parserErrors: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
}

type Log = { info(fields: object, message: string): void }

export type UnreadableOptions = {
  readonly log: Log
  /** Told of the status of the answer, where one is given. */
  readonly onAnswered?: (status: number) => void
  /** Of the request, where one was read. */
  readonly requestId?: string
}

/** What a body that does not come in time is reported as; Node's own time-out for headers has the same code. */
export const bodyTimeout: NodeJS.ErrnoException = Object.assign(
  new Error('The body did not arrive in time'),
  {
    code: 'ERR_HTTP_REQUEST_TIMEOUT',
  },
)

/** Connections whose end is settled; the parser may complain of each further piece that comes. */
const ending = new WeakSet<Socket>()

/**
 * Answers what the HTTP parser refused, in the envelope, and closes the connection. It must destroy the socket: a
 * slow client would otherwise keep it half open. Requests that came whole before it get their own answers first. Within
 * an answer that has begun, and may go on for long, there is no place for another: that is cut.
 *
 * @param error what node:http reports with its clientError event, or `bodyTimeout`
 * @param answers those that the connection has under way, in their order
 */
export function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  answers: readonly ServerResponse[],
  options: UnreadableOptions,
): void {
  if (ending.has(socket)) return
  const isWithinAnswer = answers.some(({ headersSent, writableEnded }) => headersSent && !writableEnded)
  if (error.code === 'ECONNRESET' || !socket.writable || isWithinAnswer) {
    socket.destroy()
    return
  }
  ending.add(socket)
  // What else comes can be of no use.
  socket.pause()
  const last = answers.findLast(({ req }) => req.complete)
  if (last === undefined) refuse(error, socket, options)
  else last.once('close', () => refuse(error, socket, options))
}

function refuse(
  error: NodeJS.ErrnoException,
  socket: Socket,
  { log, onAnswered, requestId = newId() }: UnreadableOptions,
): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const known = new AppError(parserErrors[error.code ?? ''] ?? 'BAD_REQUEST')
  log.info(
    { request_id: requestId, status: known.status, code: known.code, reason: error.code },
    'request unreadable',
  )
  const body = JSON.stringify(failure(requestId, known))
  const head = [
    `HTTP/1.1 ${known.status} ${STATUS_CODES[known.status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    ...Object.entries(securityHeaders).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
  onAnswered?.(known.status)
}
