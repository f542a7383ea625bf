import { EventEmitter } from 'node:events'
import type { Commits } from '../app.ts'
import { configuredSecrets } from '../auth/configured-secrets.ts'
import type { Config } from '../config.ts'
import { createLogger, standardOutput } from '../ops/logging.ts'
import { serveApi } from './api.ts'
import { announceStart, openDatabase, openLimits, openMetrics, startSweeps } from './parts.ts'
import { type Run, runUntilStopped, stopAsFailed, stopOnSignals } from './run.ts'

/**
 * Serves in this process, until a signal.
 *
 * @throws OperatorError when it cannot
 */
export async function serveInOneProcess(config: Config): Promise<void> {
  const output = standardOutput()
  const logger = createLogger(config.logLevel, output)
  await runUntilStopped({
    logger,
    output,
    start: (run) => start(config, run),
    onStop: stopOnSignals(logger, output),
  })
}

async function start(config: Config, run: Run): Promise<void> {
  // First, and so the last that is closed: what happens before and after the rest can be seen.
  const metrics = await openMetrics(config, run)
  const secrets = configuredSecrets(config)
  const commits: Commits = new EventEmitter()
  const connected = await openDatabase(config, run, {
    poolMax: config.databasePoolMax,
    onCommit: (userId) => commits.emit('commit', userId),
  })
  const limits = await openLimits(config, run)
  const parts = { config, connected, secrets, limits, metrics, commits, onFailed: stopAsFailed }
  const served = await serveApi(parts, run)
  if (served === undefined) return
  startSweeps(config, connected, run, metrics)
  announceStart({ ...served, embedded: connected.embedded, hasSecret: secrets.length > 0 }, config, run)
}
