import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type Commits, createApp } from './app.ts'
import { configuredSecrets } from './auth/configured-secrets.ts'
import { fetchedIssuer, openVerifier } from './auth/configured-verifier.ts'
import type { KeySetEvent } from './auth/key-set.ts'
import { openConfiguredAccounts } from './cli/accounts.ts'
import { readConfig, runCommand } from './cli/command.ts'
import type { Config } from './config.ts'
import { connectDatabase } from './db/connect.ts'
import type { Database } from './db/database.ts'
import { AppError, OperatorError } from './errors.ts'
import type { App } from './http/server.ts'
import { openRateLimits, type RateLimits } from './limits/rate-limits.ts'
import { createLogger, type LogOutput, standardOutput } from './ops/logging.ts'
import type { Metrics } from './ops/metrics.ts'
import { startupMessage } from './ops/startup-message.ts'
import { deletionsRetentionDays, runSweeps, type Sweep } from './tasks/sweep.ts'

/** Between two tries to reach a database that is away at start, in milliseconds. */
const retryMs = 500

/** Ctrl-C comes twice: from the terminal, and from npm, which passes it on. Later than this it is meant again. */
const repeatMs = 1_000

async function main(): Promise<void> {
  const config = readConfig()
  const output = standardOutput()
  const logger = createLogger(config.logLevel, output)
  const cleanup = new AsyncDisposableStack()
  const stopping = new AbortController()
  const started = start(config, logger, output, cleanup, stopping.signal)
  stopOnSignals({ logger, output, cleanup, stopping, started })
  try {
    await started
  } catch (error) {
    // A signal during the start has its own end.
    if (stopping.signal.aborted) return
    await cleanup.disposeAsync()
    throw error
  }
}

/** Brings everything up; what must be taken down again is put on `cleanup`, in order. */
async function start(
  config: Config,
  logger: Logger,
  output: LogOutput,
  cleanup: AsyncDisposableStack,
  stopping: AbortSignal,
) {
  // First, and so the last that is closed: what happens before and after the rest can be seen.
  const metrics = await openMetrics(config, logger, cleanup)
  const secrets = configuredSecrets(config)
  const commits: Commits = new EventEmitter()
  const connected = await connectDatabase({
    ...config,
    poolMax: config.databasePoolMax,
    mode: 'exclusive',
    onEvent: (event) => logger.info(event, 'embedded database'),
    onConnectionError: (err) => logger.warn({ err }, 'database connection lost'),
    onCommit: (userId) => commits.emit('commit', userId),
    onPreparedStatementLost: () => logger.info('the pooler keeps no prepared statements; doing without'),
  })
  cleanup.defer(() => connected.close())
  const { database } = connected
  const limits = await openLimits(config, logger)
  cleanup.defer(() => limits.close())
  const accounts = await openConfiguredAccounts(config, connected, secrets, logger, limits.createLimiter)
  if (accounts !== undefined) cleanup.defer(() => accounts.close())
  const issuer = accounts ?? (config.issuer && fetchedIssuer(config.issuer))
  const auth = openVerifier({ ...config, secrets, issuer }, (event) => {
    logKeyEvent(event, logger)
    metrics?.countKeysEvent(event)
  })
  cleanup.defer(() => auth.stop())
  const isStopping = () => stopping.aborted
  const { trustProxy, corsOrigins, maxConnections } = config
  const parts = { database, commits, accounts, verifier: auth.verifier, logger, limits, metrics }
  const app = await createApp({ ...parts, isStopping, trustProxy, corsOrigins, bounds: { maxConnections } })
  cleanup.defer(async () => {
    const isTold = stopping.reason === 'SIGTERM' && app.server.listening
    const delayMs = isTold ? Math.min(config.shutdownDelayMs, config.shutdownTimeoutMs) : 0
    // It serves on until no load balancer sends here any more. (Whoever presses Ctrl-C has none in front.)
    await delay(delayMs)
    // Before open requests are waited for, so that they do not wait for an issuer that stalls.
    auth.stop()
    await closeApp(app, config.shutdownTimeoutMs - delayMs, logger)
  })

  const prepared = accounts === undefined ? [database] : [database, accounts]
  const away = await prepare(prepared, logger)
  if (stopping.aborted) return
  // So that the first token does not wait; nothing waits for it here.
  void auth.warmUp()
  const address = await listen(app, config)
  if (away !== undefined) {
    logger.warn({ err: away }, 'the database is away; trying on')
    keepPreparing(prepared, logger, cleanup, stopping)
  }
  // It ends by itself between two batches, or with the database; a batch that is cut off has removed nothing.
  void runSweeps({
    database,
    retention: { trashDays: config.trashRetentionDays, deletionsDays: deletionsRetentionDays },
    signal: stopping,
    onSweep(sweep, durationMs) {
      logSweep(sweep, durationMs, logger)
      metrics?.countSweep(sweep)
    },
  })
  const readyInMs = Math.round(process.uptime() * 1000)
  logger.info({ address, ready_in_ms: readyInMs, node: process.version }, 'started')
  if (config.nodeEnv === 'production' || away !== undefined) return
  const where = connected.embedded ? `embedded PostgreSQL 18 in ${config.dataDir}` : 'the one of DATABASE_URL'
  const firstRequest = accounts !== undefined ? 'account' : secrets.length > 0 ? 'token' : 'issuer'
  output.write(startupMessage({ address, readyInMs, database: where, firstRequest }))
}

function openLimits({ rateLimitPerMinute, rateLimitRedisUrl }: Config, logger: Logger): Promise<RateLimits> {
  return openRateLimits({
    perMinute: rateLimitPerMinute,
    redisUrl: rateLimitRedisUrl,
    onRedisEvent(event) {
      if (event.type === 'connected') logger.info('rate limits are counted in Redis')
      else logger.warn({ err: event.error }, 'Redis is away; this instance counts rate limits by itself')
    },
  })
}

/** Nothing of them is loaded where nobody asks for them. */
async function openMetrics(
  { host, metricsPort }: Config,
  logger: Logger,
  cleanup: AsyncDisposableStack,
): Promise<Metrics | undefined> {
  if (metricsPort === undefined) return undefined
  const { serveMetrics } = await import('./ops/metrics-server.ts')
  const server = await serveMetrics({ host, port: metricsPort })
  cleanup.defer(() => server.close())
  logger.info({ metrics_address: server.address }, 'metrics served')
  return server.metrics
}

/** What goes on as before, good or bad, is not worth a line every few minutes. */
function logKeyEvent(event: KeySetEvent, logger: Logger): void {
  if (event.type === 'failed') {
    if (event.failures === 1) logger.warn(event, 'keys of the issuer cannot be had')
  } else if (event.added + event.removed + event.failuresBefore > 0) {
    logger.info(event, 'keys of the issuer')
  }
}

/** Of a sweep that found nothing to do nobody need hear. */
function logSweep(
  { trash, deletions, keys, failures, error }: Sweep,
  durationMs: number,
  logger: Logger,
): void {
  if (trash + deletions + keys > 0) {
    logger.info({ trash, deletions, keys, duration_ms: durationMs }, 'removed what was due')
  }
  if (error !== undefined) {
    logger.warn({ err: error, failures }, 'removing what was due failed; it is tried again')
  }
}

/** What must be brought up to date in the database before it is used; tells what it did. */
type Prepared = Pick<Database, 'prepare'>

/**
 * Migrates and checks the wall.
 *
 * @returns undefined when done, or the error that says that the database is away
 */
async function prepare(parts: readonly Prepared[], logger: Logger): Promise<AppError | undefined> {
  try {
    for (const part of parts) {
      for (const migration of await part.prepare()) logger.info({ migration }, 'migration applied')
    }
    return undefined
  } catch (error) {
    if (error instanceof AppError && error.code === 'DATABASE_UNAVAILABLE') return error
    throw error
  }
}

/** Tries until the database is back; until then every request that needs it is answered 503. */
function keepPreparing(
  parts: readonly Prepared[],
  logger: Logger,
  cleanup: AsyncDisposableStack,
  stopping: AbortSignal,
): void {
  const attempts = (async () => {
    while (!stopping.aborted) {
      await delay(retryMs)
      if ((await prepare(parts, logger)) === undefined) return logger.info('the database is back')
    }
  })().catch((err: unknown) => {
    logger.fatal({ err }, 'the database cannot be served from')
    process.exitCode = 1
    process.kill(process.pid, 'SIGTERM')
  })
  cleanup.defer(() => attempts)
}

async function listen(app: App, { host, port }: Config): Promise<string> {
  try {
    return await app.listen({ host, port, listenTextResolver: (address) => `listening at ${address}` })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EADDRINUSE') {
      throw new OperatorError(
        `Port ${port} of ${host} is in use: stop what listens there, or set PORT to another.`,
      )
    }
    if (code === 'EADDRNOTAVAIL' || code === 'EACCES' || code === 'ENOTFOUND') {
      throw new OperatorError(`Cannot listen on ${host} port ${port} (${code}): set HOST and PORT to others.`)
    }
    throw error
  }
}

/** Stops listening and lets open requests finish; those still open after so many milliseconds are cut. */
async function closeApp(app: App, timeoutMs: number, logger: Logger): Promise<void> {
  const timer = setTimeout(() => {
    logger.warn('requests still open after SHUTDOWN_TIMEOUT_MS are cut')
    app.server.closeAllConnections()
  }, timeoutMs)
  await app.close()
  clearTimeout(timer)
}

type Running = {
  readonly logger: Logger
  readonly output: LogOutput
  readonly cleanup: AsyncDisposableStack
  readonly stopping: AbortController
  readonly started: Promise<void>
}

function stopOnSignals({ logger, output, cleanup, stopping, started }: Running): void {
  let firstAt = 0
  const stop = async (signal: NodeJS.Signals) => {
    if (stopping.signal.aborted) {
      if (performance.now() - firstAt < repeatMs) return
      logger.warn({ signal }, 'second signal: stopping at once')
      await output.end()
      process.exit(1)
    }
    firstAt = performance.now()
    logger.info({ signal }, 'stopping')
    stopping.abort(signal)
    try {
      // What has been started by then is known only once the start has ended, one way or the other.
      await started.catch((err: unknown) => logger.warn({ err }, 'start failed while stopping'))
      await cleanup.disposeAsync()
      logger.info('stopped')
    } catch (err) {
      logger.error({ err }, 'could not stop cleanly')
      process.exitCode = 1
    }
    await output.end()
    process.exit()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('uncaughtException', async (err) => {
    logger.fatal({ err }, 'uncaught exception')
    await output.end()
    process.exit(1)
  })
}

await runCommand(main)
