import { type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ErrorCode } from '../errors.ts'
import { newId } from '../lib/ids.ts'
import { failure } from './envelope.ts'

const parserErrors: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
}

type Log = { info(fields: object, message: string): void }

/**
 * Watches which connections have an answer under way.
 *
 * @returns tells whether an answer has begun on a connection and not ended
 */
export function watchAnswers(server: Server): (socket: Socket) => boolean {
  const open = new WeakMap<Socket, Set<ServerResponse>>()
  server.on('request', ({ socket }, response) => {
    const answers = open.get(socket) ?? new Set()
    open.set(socket, answers.add(response))
    response.once('close', () => answers.delete(response))
  })
  return (socket) => [...(open.get(socket) ?? [])].some(({ headersSent }) => headersSent)
}

/**
 * Answers what the HTTP parser refused, in the envelope, and closes the connection. It must destroy the socket: a
 * slow client would otherwise keep it half open. Within another answer there is no place for one: that is cut.
 *
 * @param error what node:http reports with its clientError event
 * @param isAnswering whether an answer has begun on the connection and not ended
 */
export function answerClientError(
  error: Error & { code?: string },
  socket: Socket,
  isAnswering: boolean,
  log: Log,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) {
    socket.destroy()
    return
  }
  const known = new AppError(parserErrors[error.code ?? ''] ?? 'BAD_REQUEST')
  const requestId = newId()
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
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
