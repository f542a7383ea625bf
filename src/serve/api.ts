import { setTimeout as delay } from 'node:timers/promises'
import { type AppDependencies, type Commits, createApp } from '../app.ts'
import { fetchedIssuer, openVerifier } from '../auth/configured-verifier.ts'
import type { KeySetEvent } from '../auth/key-set.ts'
import { openConfiguredAccounts } from '../cli/accounts.ts'
import type { Config } from '../config.ts'
import type { ConnectedDatabase } from '../db/connect.ts'
import { OperatorError } from '../errors.ts'
import type { App } from '../http/server.ts'
import type { RateLimits } from '../limits/rate-limits.ts'
import type { Logger } from '../ops/logging.ts'
import type { Metrics } from '../ops/metrics.ts'
import { keepPreparing, prepare } from './prepare.ts'
import type { Run } from './run.ts'

export type ApiOptions = {
  readonly config: Config
  readonly connected: ConnectedDatabase
  readonly secrets: readonly string[]
  readonly limits: RateLimits
  readonly metrics: Metrics | undefined
  readonly commits: Commits
  readonly streams?: AppDependencies['streams']
  /** Told when a database that was away came back and must not be served from. */
  readonly onFailed: (error: unknown) => void
}

export type ServedApi = {
  readonly address: string
  /** False while the database is away. */
  readonly isReady: boolean
}

/**
 * Has this process answer requests: what they meet, the database brought up to date, then listening.
 *
 * @returns undefined when it is to stop before it listens
 * @throws OperatorError when it cannot listen
 */
export async function serveApi(options: ApiOptions, run: Run): Promise<ServedApi | undefined> {
  const { config, connected, secrets, limits, metrics, commits, streams } = options
  const { logger, cleanup, stopping } = run
  const { database } = connected
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
  const app = await createApp({
    ...parts,
    ...(streams && { streams }),
    isStopping,
    trustProxy,
    corsOrigins,
    bounds: { maxConnections },
  })
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
  if (stopping.aborted) return undefined
  // So that the first token does not wait; nothing waits for it here.
  void auth.warmUp()
  const address = await listen(app, config)
  if (away !== undefined) keepPreparing(away, prepared, run, options.onFailed)
  return { address, isReady: away === undefined }
}

/** What goes on as before, good or bad, is not worth a line every few minutes. */
function logKeyEvent(event: KeySetEvent, logger: Logger): void {
  if (event.type === 'failed') {
    if (event.failures === 1) logger.warn(event, 'keys of the issuer cannot be had')
  } else if (event.added + event.removed + event.failuresBefore > 0) {
    logger.info(event, 'keys of the issuer')
  }
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
