import { configuredSecrets } from '../auth/configured-secrets.ts'
import type { Config } from '../config.ts'
import { KeptBuckets } from '../limits/asked-buckets.ts'
import { createLogger, standardOutput } from '../ops/logging.ts'
import { announceStart, openDatabase, openMetrics, startSweeps } from '../serve/parts.ts'
import { keepPreparing, prepare } from '../serve/prepare.ts'
import { type Run, runUntilStopped, type StopReason, stopAsFailed, stopOnSignals } from '../serve/run.ts'
import { CommitBatch, type ToPrimary } from './messages.ts'
import { WorkerMetrics } from './worker-metrics.ts'
import { WorkerPool } from './worker-pool.ts'

/** Of this process: for migrations, then for the sweep. */
const ownPoolMax = 1

/**
 * Serves by several processes as one instance, until a signal. This process has what there is one of: the embedded
 * database, the rate limits, the sweeps, the metrics. It answers no request.
 *
 * @param workerArgument by which a process that is started with it knows that it is a worker
 * @throws OperatorError when it cannot
 */
export async function serveByWorkers(config: Config, workerArgument: string): Promise<void> {
  const output = standardOutput()
  const logger = createLogger(config.logLevel, output)
  await runUntilStopped({
    logger,
    output,
    start: (run) => start(config, workerArgument, run),
    onStop: stopOnSignals(logger, output),
  })
}

async function start(config: Config, workerArgument: string, run: Run): Promise<void> {
  const { logger, cleanup, stopping } = run
  const numbers = Array.from({ length: config.workers }, (_, index) => index + 1)
  const ofWorkers = new WorkerMetrics(numbers, (worker) => pool?.send(worker, { type: 'metrics' }) ?? false)
  let pool: WorkerPool | undefined
  // First, and so the last that is closed: what happens before and after the rest can be seen.
  const metrics = await openMetrics(config, run, async (own) => ofWorkers.collect(await own.families()))
  const secrets = configuredSecrets(config)
  const connected = await openDatabase(config, run, { poolMax: ownPoolMax })
  // Before any worker does: they find it done.
  const away = await prepare([connected.database], logger)
  if (stopping.aborted) return
  const { connection } = connected
  const hub = new Hub((worker, userIds) => pool?.send(worker, { type: 'commits', userIds }))
  const buckets = new KeptBuckets()
  const running = new WorkerPool({
    begins: numbers.map((worker) => ({ worker, config: shareOf(config, worker), secrets, connection })),
    logger,
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    onMessage(worker, message) {
      if (message.type === 'asks') {
        running.send(worker, { type: 'answers', answers: buckets.answer(message.asks) })
      } else if (message.type === 'metrics') {
        ofWorkers.receive(worker, message.families)
      } else {
        hub.receive(worker, message)
      }
    },
    onEnd(worker) {
      hub.end(worker)
      ofWorkers.end(worker)
    },
    onFailed(err) {
      logger.fatal({ err }, 'a worker cannot go on')
      stopAsFailed()
    },
  })
  pool = running
  // A start that fails has no reason to wait for a load balancer.
  cleanup.defer(() => running.stop(stopping.aborted ? (stopping.reason as StopReason) : 'SIGINT'))
  const served = await running.start(workerArgument, stopping)
  if (stopping.aborted) return
  if (away !== undefined) keepPreparing(away, [connected.database], run, stopAsFailed)
  startSweeps(config, connected, run, metrics)
  announceStart({ ...served, embedded: connected.embedded, hasSecret: secrets.length > 0 }, config, run)
}

/** The configuration of a worker: what is of the instance is shared out, the first ones get what is left over. */
function shareOf(config: Config, worker: number): Config {
  const { workers, databasePoolMax, maxConnections } = config
  const share = (whole: number) => Math.floor(whole / workers) + (worker <= whole % workers ? 1 : 0)
  return { ...config, databasePoolMax: share(databasePoolMax), maxConnections: share(maxConnections) }
}

/** Passes commits on to the other workers that have streams. */
class Hub {
  readonly #send: (worker: number, userIds: readonly string[]) => void
  readonly #listening = new Map<number, CommitBatch>()

  constructor(send: (worker: number, userIds: readonly string[]) => void) {
    this.#send = send
  }

  receive(from: number, message: Extract<ToPrimary, { type: 'commits' | 'streams' }>): void {
    if (message.type === 'streams') {
      if (message.areOpen) this.#listening.set(from, new CommitBatch((ids) => this.#send(from, ids)))
      else this.#listening.delete(from)
      return
    }
    for (const [worker, batch] of this.#listening) {
      if (worker !== from) for (const userId of message.userIds) batch.add(userId)
    }
  }

  end(worker: number): void {
    this.#listening.delete(worker)
  }
}
