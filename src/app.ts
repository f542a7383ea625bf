import type { EventEmitter } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { Accounts } from './accounts/accounts.ts'
import { createGuard, type GuardLimits } from './auth/guard.ts'
import type { Verifier } from './auth/verifier.ts'
import type { Database } from './db/database.ts'
import type { ServerBounds } from './http/bounds.ts'
import type { TrustProxy } from './http/client-address.ts'
import { awaitLastRequests } from './http/last-requests.ts'
import { registerOpenApi } from './http/openapi.ts'
import { type App, createServer } from './http/server.ts'
import { registerHealth } from './ops/health.ts'
import { logRequest } from './ops/logging.ts'
import type { Metrics } from './ops/metrics.ts'
import { Overload, type OverloadOptions } from './ops/overload.ts'
import { Live, type LiveOptions } from './tasks/live.ts'
import { registerTaskRoutes } from './tasks/routes/index.ts'

/** Who is told of each user that a write was committed for. */
export type Commits = EventEmitter<{ commit: [userId: string] }>

export type AppDependencies = {
  readonly database: Database
  /** What the database commits through this instance; without it, streams hear of it as of other instances' commits. */
  readonly commits?: Commits
  readonly verifier: Verifier
  /** Undefined when others issue the accounts. */
  readonly accounts?: Accounts | undefined
  readonly logger: FastifyBaseLogger
  /** Undefined where nobody asks for them: nothing is counted then. */
  readonly metrics?: Metrics | undefined
  /** Whether the service is about to stop: /ready says so, and answers end their connections. */
  readonly isStopping?: () => boolean
  /** None are in force when left out. */
  readonly limits?: GuardLimits
  readonly trustProxy?: TrustProxy
  /** Origins of pages elsewhere that may call the service; none when left out. */
  readonly corsOrigins?: readonly string[]
  /** What clients may take of the server, other than usually. */
  readonly bounds?: Partial<ServerBounds>
  /** When the event loop is delayed too much, other than usually. */
  readonly loopDelay?: OverloadOptions['delay']
  /** Times of the streams, in milliseconds, and their number, other than the usual ones; who is told whether there are any. */
  readonly streams?: Omit<LiveOptions, 'database' | 'log'>
}

/** The whole system: what a request meets, from the outside in. It does not listen yet. */
export async function createApp({
  database,
  verifier,
  accounts,
  logger,
  isStopping = () => false,
  limits,
  trustProxy,
  corsOrigins = [],
  commits,
  bounds,
  loopDelay,
  streams,
  metrics,
}: AppDependencies): Promise<App> {
  const overload = new Overload({ queue: database, log: logger, delay: loopDelay })
  const app = createServer({
    logger,
    observe(request, reply) {
      logRequest(request, reply, metrics?.begin(request, reply))
    },
    onUnreadable: (status) => metrics?.countUnreadable(status),
    refuses: overload.refuses,
    onRefused: (method) => metrics?.countRefused(method),
    guard: createGuard(verifier, limits),
    bounds,
    isStopping,
    trustProxy,
    corsOrigins,
  })
  app.addHook('onClose', async () => overload.stop())
  app.decorateRequest('userId', '')
  app.decorateRequest('tokenRefusedFromMs', 0)
  await registerOpenApi(app)
  registerHealth(app, {
    missing: async () =>
      isStopping()
        ? ['the service is stopping']
        : [...(await database.missing()), ...(accounts?.missing() ?? [])],
  })
  await accounts?.register(app)
  const live = new Live({ database, log: logger, ...streams })
  commits?.on('commit', (userId) => live.wake(userId))
  app.addHook('preClose', async () => {
    await live.close()
    if (isStopping()) await awaitLastRequests(app)
  })
  registerTaskRoutes(app, { database, live })
  metrics?.readFrom({ database, live })
  await app.ready()
  return app
}
