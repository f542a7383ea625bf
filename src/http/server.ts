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
import { newId } from '../lib/ids.ts'
import { originForm } from '../lib/request-target.ts'
import { readTraceparent } from '../lib/trace-context.ts'
import { bodyLimitBytes, isSupportedMediaType, registerBodyParser } from './body.ts'
import { findClientAddress, type TrustProxy, trustProxyOption } from './client-address.ts'
import { answerClientError, watchAnswers } from './client-errors.ts'
import { closeUnusedConnections } from './connections.ts'
import { createCors } from './cors.ts'
import { handleError } from './error-handler.ts'
import { stopListeningFirst } from './last-requests.ts'
import { trackMethods } from './methods.ts'
import { securityHeaders, strictTransport } from './security-headers.ts'
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

const requestIdForm = /^[A-Za-z0-9._-]{1,128}$/

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
  readonly guard: Guard
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
  const { logger, observe, onUnreadable, guard, isStopping, trustProxy } = options
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: ({ headers }) => {
      const id = headers['x-request-id']
      return typeof id === 'string' && requestIdForm.test(id) ? id : newId()
    },
    trustProxy: trustProxyOption(trustProxy),
    // In every line of the request, so that it is found by the caller's trace.
    childLoggerFactory: (parent, bindings, options, { headers }) =>
      parent.child({ ...bindings, ...traceFields(headers.traceparent) }, options),
    bodyLimit: bodyLimitBytes,
    routerOptions: { maxParamLength },
    requestTimeout: 30_000,
    // Node would answer a missing Host itself, outside the envelope.
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 2_000, requireHostHeader: false },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler(error, socket) {
      const status = answerClientError(error, socket, isAnswering(socket), logger)
      if (status !== undefined) onUnreadable?.(status)
    },
    // Fastify answers a path that it cannot decode before any hook; under a path that no route has, it meets them all.
    rewriteUrl: ({ url = '/' }) => (isDecodable(url) ? originForm(url) : undecodable),
  }).withTypeProvider<TypeBoxTypeProvider>()
  const isAnswering = watchAnswers(app.server)
  stopListeningFirst(app)
  closeUnusedConnections(app)
  const methods = trackMethods(app, maxParamLength)
  registerValidation(app)
  registerBodyParser(app)
  // Plain JSON.stringify was measured to be faster than serializers made from the response schemas.
  app.setSerializerCompiler(() => JSON.stringify)
  app.decorateRequest('errorCode', null)
  app.decorateRequest('clientAddress', '')
  app.setErrorHandler(handleError)
  const answerCors = createCors(options.corsOrigins ?? [])
  // The order of checks that the contract gives, up to the body.
  app.addHook('onRequest', async (request, reply) => {
    request.clientAddress = findClientAddress(request)
    observe(request, reply)
    // Errors have them too. An answer that is written past Fastify takes them from reply.getHeaders().
    reply.header('x-request-id', request.id).headers(securityHeaders)
    if (trustProxy !== undefined && request.protocol === 'https')
      reply.header('strict-transport-security', strictTransport)
    if (answerCors(request, reply)) return reply
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1')
      throw new AppError('BAD_REQUEST', { headers: { connection: 'close' } })
    await guard(request, reply)
    if (request.url === undecodable) throw new AppError('INVALID_URL')
    if (request.is404) throw methods.refusalFor(request.url)
    if (!isSupportedMediaType(request)) throw new AppError('UNSUPPORTED_MEDIA_TYPE')
    return undefined
  })
  // Expectations other than 100-continue may be left aside (RFC 9110 §10.1.1); Node would refuse them outside the envelope.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  // A connection kept alive after its last answer would hold up the stop.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (isStopping()) reply.header('connection', 'close')
    done()
  })
  return app
}

function traceFields(traceparent: string | string[] | undefined): object | undefined {
  const context = readTraceparent(traceparent)
  return context && { trace_id: context.traceId, parent_id: context.parentId }
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
