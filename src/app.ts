import type { FastifyBaseLogger } from 'fastify'
import { createGuard } from './auth/guard.ts'
import type { Verifier } from './auth/verifier.ts'
import type { Database } from './db/database.ts'
import { registerOpenApi } from './http/openapi.ts'
import { type App, createServer } from './http/server.ts'
import { registerHealth } from './ops/health.ts'
import { logRequest } from './ops/logging.ts'
import { registerTaskRoutes } from './tasks/routes/index.ts'

export type AppDependencies = {
  readonly database: Database
  readonly verifier: Verifier
  readonly logger: FastifyBaseLogger
  /** Whether the service is about to stop: /ready says so, and answers end their connections. */
  readonly isStopping?: () => boolean
}

/** The whole system: what a request meets, from the outside in. It does not listen yet. */
export async function createApp({
  database,
  verifier,
  logger,
  isStopping = () => false,
}: AppDependencies): Promise<App> {
  const app = createServer({ logger, observe: logRequest, guard: createGuard(verifier), isStopping })
  app.decorateRequest('userId', '')
  await registerOpenApi(app)
  registerHealth(app, {
    missing: async () => (isStopping() ? ['the service is stopping'] : database.missing()),
  })
  registerTaskRoutes(app, { database })
  await app.ready()
  return app
}
