import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import type { Socket } from 'node:net'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyTypeProvider,
  fastify,
  LogController,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify'
import type { Static, TSchema } from 'typebox'
import { AppError } from '../errors.ts'
import { originForm } from '../lib/request-target.ts'
import { readTraceparent } from '../lib/trace-context.ts'
import { bodyLimitBytes, isSupportedMediaType, registerBodyParser } from './body.ts'
import { defaultBounds, type ServerBounds } from './bounds.ts'
import { findClientAddress, type TrustProxy, trustProxyOption } from './client-address.ts'
import { answerClientError, bodyTimeout } from './client-errors.ts'
import { boundConnections, closeUnusedConnections } from './connections.ts'
import { corsHeaders, createCors } from './cors.ts'
import { handleError } from './error-handler.ts'
import { stopListeningFirst } from './last-requests.ts'
import { lingerOverBodies } from './lingering-close.ts'
import { trackMethods } from './methods.ts'
import { OpenAnswers } from './open-answers.ts'
import { refuse } from './refusal.ts'
import { requestIdOf } from './request-id.ts'
import { securityHeaders, strictTransport } from './security-headers.ts'
import { boundBodyTime, boundRestOfBody, maxAllowedMs, whileOpen } from './slow-clients.ts'
import { registerValidation } from './validation.ts'

/** Gives handlers the types of their TypeBox schemas. */
interface TypeBoxTypeProvider extends FastifyTypeProvider {
  validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  serializer: unknown
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The answer lasts for as long as its client listens: how long that is says nothing of the service. */
    readonly openEnded?: boolean
  }
}

/** The HTTP server as the slices see it. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** Stands for the path of a request whose URL cannot be decoded; no request line can hold its space. */
const undecodable = '/ undecodable'

/** The most that the router takes of a path parameter: all that Node lets in (16 KiB), as Fastify answers more by itself. */
const maxParamLength = 16_384

/**
 * Decides whether a request may go on, before anything else of it is looked at. It must hold for requests that match
 * no route and for paths that cannot be decoded too.
 *
 * @throws AppError to refuse it
 */
export type Guard = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

export type ServerOptions = {
  readonly logger: FastifyBaseLogger
  /** Sees every request first. */
  readonly observe: (request: FastifyRequest, reply: FastifyReply) => void
  /** Told of the status of each answer to what was no readable request. */
  readonly onUnreadable?: ((status: number) => void) | undefined
  /** Whether a request is more than can be done, by its target; told before anything else is looked at. */
  readonly refuses?: (target: string) => boolean
  /** Told of the method of each request that was refused for that, or as one too many of its connection. */
  readonly onRefused?: ((method: string) => void) | undefined
  readonly guard: Guard
  /** Other bounds than the usual ones. */
  readonly bounds?: Partial<ServerBounds> | undefined
  /** Whether the service is about to stop. */
  readonly isStopping: () => boolean
  readonly trustProxy?: TrustProxy
  /** Origins of pages elsewhere that may call the service; none when left out. */
  readonly corsOrigins?: readonly string[]
}

/**
 * A server that answers everything in the envelope, and knows no domain: request ids, bounds, bodies, validation,
 * 404, 405 and errors. Routes are registered after it.
 */
export function createServer(options: ServerOptions): App {
  const { logger, observe, onUnreadable = () => {}, guard, isStopping, trustProxy } = options
  const bounds: ServerBounds = { ...defaultBounds, ...options.bounds }
  const answers = new OpenAnswers()
  const { corsOrigins = [] } = options
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: ({ headers }) => requestIdOf(headers),
    trustProxy: trustProxyOption(trustProxy),
    // In every line of the request, so that it is found by the caller's trace.
    childLoggerFactory: (parent, bindings, options, { headers }) =>
      parent.child({ ...bindings, ...traceFields(headers.traceparent) }, options),
    bodyLimit: bodyLimitBytes,
    routerOptions: { maxParamLength },
    serverFactory: (handler) =>
      createBoundedServer(handler, bounds, answers, { ...options, headersFor: corsHeaders(corsOrigins) }),
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler(error, socket) {
      answerClientError(error, socket, answers.on(socket), { log: logger, onAnswered: onUnreadable })
    },
    // Fastify answers a path that it cannot decode before any hook; under a path that no route has, it meets them all.
    rewriteUrl: ({ url = '/' }) => (isDecodable(url) ? originForm(url) : undecodable),
  }).withTypeProvider<TypeBoxTypeProvider>()
  stopListeningFirst(app)
  boundClients(app, bounds, answers, onUnreadable)
  const methods = trackMethods(app, maxParamLength)
  registerValidation(app)
  registerBodyParser(app)
  // Plain JSON.stringify was measured to be faster than serializers made from the response schemas.
  app.setSerializerCompiler(() => JSON.stringify)
  app.decorateRequest('errorCode', null)
  app.decorateRequest('clientAddress', '')
  app.setErrorHandler(handleError)
  const answerCors = createCors(corsOrigins)
  // The order of checks that the contract gives, up to the body.
  app.addHook('onRequest', async (request, reply) => {
    request.clientAddress = findClientAddress(request)
    observe(request, reply)
    setCommonHeaders(request, reply, trustProxy !== undefined)
    if (answerCors(request, reply)) return reply
    checkHeaders(request, bounds.maxHeaderFields)
    await guard(request, reply)
    if (request.url === undecodable) throw new AppError('INVALID_URL')
    if (request.is404) throw methods.refusalFor(request.url)
    if (!isSupportedMediaType(request)) throw new AppError('UNSUPPORTED_MEDIA_TYPE')
    return undefined
  })
  // Expectations other than 100-continue may be left aside (RFC 9110 §10.1.1); Node would refuse them outside the envelope.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  endConnectionsAtStop(app, isStopping)
  // After what may end the connection.
  lingerOverBodies(app)
  return app
}

/** A connection kept alive after its last answer would hold up the stop. */
function endConnectionsAtStop(app: App, isStopping: () => boolean): void {
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (isStopping()) reply.header('connection', 'close')
    done()
  })
}

/** Errors have them too. An answer that is written past Fastify takes them from reply.getHeaders(). */
function setCommonHeaders(request: FastifyRequest, reply: FastifyReply, isProxied: boolean): void {
  reply.header('x-request-id', request.id).headers(securityHeaders)
  if (isProxied && request.protocol === 'https') reply.header('strict-transport-security', strictTransport)
}

function traceFields(traceparent: string | string[] | undefined): object | undefined {
  const context = readTraceparent(traceparent)
  return context && { trace_id: context.traceId, parent_id: context.parentId }
}

type Refusal = Pick<ServerOptions, 'refuses' | 'onRefused'> & {
  /** Headers of CORS, for an origin. */
  readonly headersFor: (origin: string | undefined) => readonly string[]
}

/** The server under the framework, which never sees what is refused. */
function createBoundedServer(
  handler: RequestListener,
  bounds: ServerBounds,
  answers: OpenAnswers,
  { refuses = () => false, onRefused = () => {}, headersFor }: Refusal,
): Server {
  const server = createHttpServer(
    {
      headersTimeout: bounds.headersTimeoutMs,
      // For bodies there is a bound of their own, below this one.
      requestTimeout: bounds.headersTimeoutMs + maxAllowedMs,
      keepAliveTimeout: bounds.idleTimeoutMs,
      connectionsCheckingInterval: bounds.checkIntervalMs,
      maxHeaderSize: bounds.maxHeaderBytes,
      // Node would answer a missing Host itself, outside the envelope.
      requireHostHeader: false,
    },
    (request, response) => {
      const { socket, url = '/' } = request
      answers.add(response)
      response.once('close', () => boundRestOfBody(request, bounds.bodyTimeoutMs))
      // Once it has refused one for that, a connection is served no more: no answer to a later one would be sent.
      const isTooMany = answers.countOn(socket) > bounds.maxPipelined || overfull.has(socket)
      if (isTooMany) overfull.add(socket)
      // A preflight costs little, and without its answer a page could not read the 503.
      const isPreflight = request.method === 'OPTIONS'
      if (isTooMany || (!isPreflight && refuses(url))) {
        refuse(request, response, isTooMany, headersFor(request.headers.origin))
        onRefused(request.method ?? '')
      } else handler(request, response)
    },
  )
  // One more than are taken, so that it shows; Node would leave out what is beyond.
  server.maxHeadersCount = bounds.maxHeaderFields + 1
  return server
}

/** Connections with more requests than are taken of one at a time. */
const overfull = new WeakSet<Socket>()

/** Bounds what clients take of the server: connections, time and memory. */
function boundClients(
  app: App,
  bounds: ServerBounds,
  answers: OpenAnswers,
  onUnreadable: (status: number) => void,
): void {
  closeUnusedConnections(app)
  boundConnections(app, bounds)
  const { minBytesPerS, maxUnreadBytes } = bounds
  boundBodyTime(app, { baseMs: bounds.bodyTimeoutMs, minBytesPerS }, ({ id, raw: { socket } }) =>
    answerClientError(bodyTimeout, socket, answers.on(socket), {
      log: app.log,
      onAnswered: onUnreadable,
      requestId: id,
    }),
  )
  app.addHook('onSend', (_request, reply, _payload, done) => {
    answers.sent(reply.raw)
    done()
  })
  whileOpen(app.server, bounds.checkIntervalMs, () => {
    const count = answers.cutSlow({
      patience: { baseMs: bounds.answerTimeoutMs, minBytesPerS },
      maxUnreadBytes,
    })
    if (count > 0) app.log.info({ count }, 'answers cut off: their clients do not read')
  })
}

/** @throws AppError when there are too many header fields, or not exactly one Host (RFC 9112 §3.2) */
function checkHeaders({ raw }: FastifyRequest, maxFields: number): void {
  const { rawHeaders, httpVersion } = raw
  if (rawHeaders.length > 2 * maxFields)
    throw new AppError('HEADERS_TOO_LARGE', { headers: { connection: 'close' } })
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  // HTTP/1.0 knows none.
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1'))
    throw new AppError('BAD_REQUEST', { headers: { connection: 'close' } })
}

/** The router looks at the path alone; the query must decode too, and neither may hold a NUL. */
function isDecodable(url: string): boolean {
  if (!url.includes('%')) return true
  try {
    return !decodeURIComponent(url).includes('\0')
  } catch {
    return false
  }
}
