import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { isIPv6 } from 'node:net'
import { OperatorError } from '../errors.ts'
import { expositionType, type Family, formatFamilies } from './exposition.ts'
import { Metrics } from './metrics.ts'

export type MetricsServer = {
  readonly metrics: Metrics
  /** Where they are: an http address with its path. */
  readonly address: string
  close(): Promise<void>
}

/** What is served, given the metrics of this process. */
export type Collect = (own: Metrics) => Promise<Family[]>

/** A scrape takes milliseconds; who takes longer than this, in milliseconds, is cut. */
const requestTimeoutMs = 5_000

/** How long the close waits for a scrape under way, in milliseconds. */
const closeMs = 1_000

/** A few scrapers keep a connection each. */
const maxConnections = 50

/**
 * Serves GET /metrics, and nothing else, on a port of its own: it is for operators, asks for no token, and answers
 * whatever the state of the database and of the service.
 *
 * @param port 0 asks the system for a free one
 * @param collect the metrics of this process when left out
 * @throws OperatorError when the port cannot be had
 */
export async function serveMetrics({
  host,
  port,
  collect = (own) => own.families(),
}: {
  readonly host: string
  readonly port: number
  readonly collect?: Collect | undefined
}): Promise<MetricsServer> {
  const metrics = new Metrics()
  const timeouts = { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs }
  const server = createServer(
    { ...timeouts, connectionsCheckingInterval: 1_000, maxHeaderSize: 16_384 },
    (request, response) => {
      answer(() => collect(metrics), request, response).catch(() => response.destroy())
    },
  )
  server.maxConnections = maxConnections
  // Node's own answer to what is no HTTP leaves slow clients half open.
  server.on('clientError', (_error, socket) => socket.destroy())
  try {
    server.listen({ host, port })
    await once(server, 'listening')
  } catch (error) {
    metrics.stop()
    throw describeListenError(error, host, port)
  }
  const bound = server.address()
  const actual = typeof bound === 'object' && bound !== null ? bound.port : port
  return {
    metrics,
    address: `http://${isIPv6(host) ? `[${host}]` : host}:${actual}/metrics`,
    async close() {
      metrics.stop()
      const closed = once(server, 'close')
      server.close()
      const timer = setTimeout(() => server.closeAllConnections(), closeMs)
      await closed
      clearTimeout(timer)
    },
  }
}

async function answer(
  collect: () => Promise<Family[]>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path] = (request.url ?? '').split('?', 1)
  if (path !== '/metrics') return refuse(response, 404, 'Only /metrics is here.\n')
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return refuse(response, 405, 'Only GET and HEAD.\n')
  }
  const text = formatFamilies(await collect())
  response
    .writeHead(200, {
      'content-type': expositionType,
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
    })
    .end(text)
}

/** What a refused request holds is not read: the connection ends with the answer. */
function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(text)
}

function describeListenError(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') {
    return new OperatorError(
      `Port ${port} of ${host} is in use: stop what listens there, or set METRICS_PORT to another.`,
    )
  }
  if (code === 'EADDRNOTAVAIL' || code === 'EACCES' || code === 'ENOTFOUND') {
    return new OperatorError(
      `Cannot listen on ${host} port ${port} (${code}): set HOST and METRICS_PORT to others.`,
    )
  }
  return error
}
