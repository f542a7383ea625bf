import type { FastifyReply, FastifyRequest } from 'fastify'
import { type DestinationStream, type Logger, pino } from 'pino'

export type { Logger } from 'pino'

/**
 * The service's log: JSON lines with RFC 3339 times. Headers and bodies are never handed to it, so no token, secret
 * or task can reach it.
 *
 * @param level least level that is written
 * @param destination where to; standard output when left out
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  return destination === undefined ? pino(options) : pino(options, destination)
}

/** Where the log of the process goes. */
export type LogOutput = DestinationStream & {
  /** Waits until all is written, nobody reads any more, or a second is over. What is written later is dropped. Never fails. */
  end(): Promise<void>
}

/** How long the end of the process waits for who reads its log, in milliseconds. */
const maxFlushMs = 1_000

/** How long a line waits for others to be written with it, in milliseconds: each write wakes a thread. */
const gatherMs = 10

/** What is written at once: to a pipe that several processes write to, so much goes without theirs between (PIPE_BUF). */
const blockBytes = 4_096

/** Most of the log that waits to be read, in bytes. */
const maxUnreadBytes = 8_388_608

/**
 * Standard output, written without waiting. Where its reader goes away (EPIPE) the rest of the log is dropped, and the
 * service serves on; where it is too slow lines are dropped, and it is told how many. pino's own output would try for ever
 * to write the rest when the process exits or logs a fatal line.
 */
export function standardOutput(): LogOutput {
  const output = pino.destination({
    dest: 1,
    sync: false,
    maxWrite: blockBytes,
    maxLength: maxUnreadBytes,
  })
  output.flushSync = () => {}
  const { promise: over, resolve } = Promise.withResolvers<void>()
  let isOver = false
  const end = () => {
    isOver = true
    resolve()
  }
  output.on('error', end)
  output.on('close', end)
  tellOfDropped(output)
  let [block, size, isGathering] = ['', 0, false]
  const flush = () => {
    if (!isOver && size > 0) output.write(block)
    ;[block, size] = ['', 0]
  }
  const gather = () => {
    if (isGathering) return
    isGathering = true
    setTimeout(() => {
      isGathering = false
      flush()
    }, gatherMs)
  }
  return {
    write(text) {
      if (isOver) return
      const bytes = Buffer.byteLength(text)
      if (size + bytes > blockBytes) flush()
      block += text
      size += bytes
      gather()
    },
    async end() {
      if (isOver) return over
      flush()
      isOver = true
      const timer = setTimeout(end, maxFlushMs)
      output.end()
      await over
      clearTimeout(timer)
    },
  }
}

/** Says how many lines were dropped as soon as what was there before them has been read. */
function tellOfDropped(output: ReturnType<typeof pino.destination>): void {
  let dropped = 0
  output.on('drop', (block: string) => {
    dropped += block.split('\n').length - 1
  })
  output.on('drain', () => {
    if (dropped === 0) return
    const logger = createLogger('warn', output)
    logger.warn({ dropped }, 'lines of the log were dropped: their reader is too slow')
    dropped = 0
  })
}

/**
 * Writes one line for a request, once its answer is sent or its client has gone; `aborted` tells the latter. It listens
 * to the response itself: Fastify's onResponse does not hear of every client that leaves.
 *
 * @param onEnd called then too
 */
export function logRequest(request: FastifyRequest, reply: FastifyReply, onEnd?: () => void): void {
  reply.raw.once('close', () => {
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        user_id: request.userId || null,
        client_address: request.clientAddress,
        status: reply.raw.statusCode,
        ...(request.errorCode !== null && { code: request.errorCode }),
        ...(!reply.raw.writableFinished && { aborted: true }),
        duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
      },
      'request',
    )
    onEnd?.()
  })
}
