import type { Config } from '../config.ts'
import { type ConnectedDatabase, type ConnectOptions, connectDatabase } from '../db/connect.ts'
import { openRateLimits, type RateLimits, type RateLimitsOptions } from '../limits/rate-limits.ts'
import type { Metrics } from '../ops/metrics.ts'
import type { Collect } from '../ops/metrics-server.ts'
import { startupMessage } from '../ops/startup-message.ts'
import { deletionsRetentionDays, runSweeps, type Sweep } from '../tasks/sweep.ts'
import type { Run } from './run.ts'

/**
 * Nothing of them is loaded where nobody asks for them.
 *
 * @param collect what is served, where that is more than what is counted in this process
 */
export async function openMetrics(
  { host, metricsPort }: Config,
  { logger, cleanup }: Run,
  collect?: Collect,
): Promise<Metrics | undefined> {
  if (metricsPort === undefined) return undefined
  const { serveMetrics } = await import('../ops/metrics-server.ts')
  const server = await serveMetrics({ host, port: metricsPort, collect })
  cleanup.defer(() => server.close())
  logger.info({ metrics_address: server.address }, 'metrics served')
  return server.metrics
}

/**
 * The configured database, or the one at the connection.
 *
 * @throws EmbeddedPostgresError when the embedded server cannot be started
 */
export async function openDatabase(
  config: Config,
  { logger, cleanup }: Run,
  options: Pick<ConnectOptions, 'connection' | 'onCommit' | 'poolMax'>,
): Promise<ConnectedDatabase> {
  const connected = await connectDatabase({
    ...config,
    ...options,
    mode: 'exclusive',
    onEvent: (event) => logger.info(event, 'embedded database'),
    onConnectionError: (err) => logger.warn({ err }, 'database connection lost'),
    onPreparedStatementLost: () => logger.info('the pooler keeps no prepared statements; doing without'),
  })
  cleanup.defer(() => connected.close())
  return connected
}

/** @param shared buckets that other processes have too; those in Redis go before them */
export async function openLimits(
  { rateLimitPerMinute, rateLimitRedisUrl }: Config,
  { logger, cleanup }: Run,
  shared?: RateLimitsOptions['shared'],
): Promise<RateLimits> {
  const limits = await openRateLimits({
    perMinute: rateLimitPerMinute,
    redisUrl: rateLimitRedisUrl,
    shared,
    onRedisEvent(event) {
      if (event.type === 'connected') logger.info('rate limits are counted in Redis')
      else logger.warn({ err: event.error }, 'Redis is away; this instance counts rate limits by itself')
    },
  })
  cleanup.defer(() => limits.close())
  return limits
}

/** They end by themselves between two batches, or with the database; a batch that is cut off has removed nothing. */
export function startSweeps(
  { trashRetentionDays }: Config,
  { database }: ConnectedDatabase,
  { logger, stopping }: Run,
  metrics: Metrics | undefined,
): void {
  void runSweeps({
    database,
    retention: { trashDays: trashRetentionDays, deletionsDays: deletionsRetentionDays },
    signal: stopping,
    onSweep(sweep, durationMs) {
      logSweep(sweep, durationMs, logger)
      metrics?.countSweep(sweep)
    },
  })
}

/** Of a sweep that found nothing to do nobody need hear. */
function logSweep(
  { trash, deletions, keys, failures, error }: Sweep,
  durationMs: number,
  logger: Run['logger'],
): void {
  if (trash + deletions + keys > 0) {
    logger.info({ trash, deletions, keys, duration_ms: durationMs }, 'removed what was due')
  }
  if (error !== undefined) {
    logger.warn({ err: error, failures }, 'removing what was due failed; it is tried again')
  }
}

export type Started = {
  readonly address: string
  /** Whether requests can be served: the database is there. */
  readonly isReady: boolean
  readonly embedded: boolean
  readonly hasSecret: boolean
}

/** Tells that the service is up. */
export function announceStart(
  { address, isReady, embedded, hasSecret }: Started,
  { accounts, dataDir, nodeEnv, workers }: Config,
  { logger, output }: Run,
): void {
  const readyInMs = Math.round(process.uptime() * 1000)
  const ofWorkers = workers > 1 && { workers }
  logger.info({ address, ready_in_ms: readyInMs, node: process.version, ...ofWorkers }, 'started')
  if (nodeEnv === 'production' || !isReady) return
  const database = embedded ? `embedded PostgreSQL 18 in ${dataDir}` : 'the one of DATABASE_URL'
  const firstRequest = accounts === 'inside' ? 'account' : hasSecret ? 'token' : 'issuer'
  output.write(startupMessage({ address, readyInMs, database, firstRequest }))
}
