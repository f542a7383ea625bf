import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ErrorCode } from '../errors.ts'
import { newId } from '../lib/ids.ts'
import { failure } from './envelope.ts'
import { closeLingering } from './lingering-close.ts'
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

/** Connections whose end is settled, with who is told of each further piece that comes: the parser complains of it again. */
const ending = new WeakMap<Socket, () => void>()

const ignore = () => {}

/** What node:http adds to its errors: the bytes that the parser was given last. */
type ParserError = NodeJS.ErrnoException & { readonly rawPacket?: unknown }

/**
 * Answers what the HTTP parser refused, in the envelope, and closes the connection. It must destroy the socket after a while:
 * a slow client would otherwise keep it half open. Requests that came whole before it get their own answers first. Within
 * an answer that has begun, and may go on for long, there is no place for another: that is cut.
 *
 * @param error what node:http reports with its clientError event, or `bodyTimeout`
 * @param answers those that the connection has under way, in their order
 */
export function answerClientError(
  error: ParserError,
  socket: Socket,
  answers: readonly ServerResponse[],
  options: UnreadableOptions,
): void {
  const onMore = ending.get(socket)
  if (onMore !== undefined) {
    onMore()
    return
  }
  const isWithinAnswer = answers.some(({ headersSent, writableEnded }) => headersSent && !writableEnded)
  if (error.code === 'ECONNRESET' || !socket.writable || isWithinAnswer) {
    socket.destroy()
    return
  }
  ending.set(socket, ignore)
  // What else comes can be of no use.
  socket.pause()
  const last = answers.findLast(({ req }) => req.complete)
  if (last === undefined) refuse(error, socket, options)
  else last.once('close', () => refuse(error, socket, options))
}

/**
 * Whether the request that could not be read is surely a HEAD, so that a body would be taken for the next answer: nothing
 * but its beginning has come. Of others Node does not tell the method.
 */
function isHead({ rawPacket }: ParserError, { bytesRead }: Socket): boolean {
  if (!Buffer.isBuffer(rawPacket) || rawPacket.length !== bytesRead) return false
  return rawPacket.subarray(0, 5).toString('latin1') === 'HEAD '
}

function refuse(
  error: ParserError,
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
    'cache-control: private, no-cache',
    ...Object.entries(securityHeaders).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${isHead(error, socket) ? '' : body}`)
  ending.set(socket, closeLingering(socket))
  onAnswered?.(known.status)
}
