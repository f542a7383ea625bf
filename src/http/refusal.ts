import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError } from '../errors.ts'
import { failure } from './envelope.ts'
import { dropRest } from './lingering-close.ts'
import { requestIdOf } from './request-id.ts'
import { securityHeaders } from './security-headers.ts'

/** A body that is longer, or of unknown length, is not worth reading for nothing: its connection is closed. */
const worthReadingBytes = 65_536

const security = Object.entries(securityHeaders).flat()

const overloaded = new AppError('OVERLOADED')

/**
 * Answers 503 OVERLOADED, past the framework: what is refused must cost next to nothing, or refusing it takes the time
 * in which the rest could be served. It was measured at half of the way through the hooks and the log.
 *
 * @param closes whether the connection is closed in any case
 * @param corsHeaders names and values in turn
 */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  closes: boolean,
  corsHeaders: readonly string[],
): void {
  const { headers } = request
  const requestId = requestIdOf(headers)
  const body = JSON.stringify(failure(requestId, overloaded))
  const isLong =
    headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > worthReadingBytes
  response.writeHead(503, [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(body.length),
    'x-request-id',
    requestId,
    'retry-after',
    // Not all at the same time again.
    String(1 + Math.floor(Math.random() * 3)),
    'cache-control',
    'private, no-cache',
    ...security,
    ...corsHeaders,
    ...(closes || isLong ? ['connection', 'close'] : []),
  ])
  // All of it is ASCII.
  if (!isLong) response.end(body, 'latin1')
  else {
    response.write(body, 'latin1')
    void dropRest(request).then(() => response.end())
  }
}
