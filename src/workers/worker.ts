import cluster from 'node:cluster'
import { EventEmitter } from 'node:events'
import type { Commits } from '../app.ts'
import { describeFailure } from '../cli/command.ts'
import { OperatorError } from '../errors.ts'
import { AskedBuckets } from '../limits/asked-buckets.ts'
import { createLogger, standardOutput } from '../ops/logging.ts'
import type { Metrics } from '../ops/metrics.ts'
import { serveApi } from '../serve/api.ts'
import { openDatabase, openLimits } from '../serve/parts.ts'
import { type Run, runUntilStopped, type StopReason } from '../serve/run.ts'
import { type Begin, CommitBatch, type ToPrimary, type ToWorker } from './messages.ts'

/**
 * Serves as one of several processes, until the primary process says so or is gone.
 *
 * @throws OperatorError when no primary process has started this one
 */
export async function serveAsWorker(): Promise<void> {
  if (process.send === undefined) throw new OperatorError('Workers are started by the service: set WORKERS.')
  // Signals to the whole group reach the primary process too, which has all workers stop together.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {})
  const primary = new Primary()
  const { begin } = await primary.next('begin')
  const output = standardOutput()
  const logger = createLogger(begin.config.logLevel, output).child({ worker: begin.worker })
  // Or Node would end this process at once when the primary is gone, with requests open.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  try {
    await runUntilStopped({
      logger,
      output,
      start: (run) => start(begin, primary, run),
      onStop(stop) {
        primary.on('stop', ({ reason }) => stop(reason))
        process.once('disconnect', () => {
          logger.warn('the primary process is gone')
          stop('disconnect' satisfies StopReason)
        })
      },
    })
  } catch (error) {
    await primary.send({ type: 'failed', message: describeFailure(error) })
    await output.end()
    process.exit(1)
  }
}

async function start({ config, secrets, connection }: Begin, primary: Primary, run: Run): Promise<void> {
  const metrics = await openWorkerMetrics(config.metricsPort !== undefined, primary, run)
  const commits: Commits = new EventEmitter()
  const batch = new CommitBatch((userIds) => primary.send({ type: 'commits', userIds }))
  primary.on('commits', ({ userIds }) => {
    for (const userId of userIds) commits.emit('commit', userId)
  })
  const connected = await openDatabase(config, run, {
    connection,
    poolMax: config.databasePoolMax,
    onCommit(userId) {
      commits.emit('commit', userId)
      batch.add(userId)
    },
  })
  const shared = new AskedBuckets((asks) => primary.send({ type: 'asks', asks }))
  primary.on('answers', ({ answers }) => shared.receive(answers))
  process.once('disconnect', () => shared.lose())
  const limits = await openLimits(config, run, shared)
  const served = await serveApi(
    {
      config,
      connected,
      secrets,
      limits,
      metrics,
      commits,
      streams: { onOpen: (areOpen) => primary.send({ type: 'streams', areOpen }) },
      onFailed: (error) => primary.send({ type: 'failed', message: describeFailure(error) }),
    },
    run,
  )
  if (served !== undefined) await primary.send({ type: 'listening', ...served })
}

/** What this process counts; the primary process asks for it. */
async function openWorkerMetrics(
  isOn: boolean,
  primary: Primary,
  { cleanup }: Run,
): Promise<Metrics | undefined> {
  if (!isOn) return undefined
  const { Metrics } = await import('../ops/metrics.ts')
  const metrics = new Metrics()
  const tell = async () => primary.send({ type: 'metrics', families: await metrics.families() })
  cleanup.defer(async () => {
    // The last word: what was counted until here stays counted.
    await tell()
    metrics.stop()
  })
  primary.on('metrics', tell)
  return metrics
}

type Messages = { [T in ToWorker['type']]: Extract<ToWorker, { type: T }> }

/** The process that has started this one. */
class Primary {
  readonly #messages = new EventEmitter()
  /** Came before anybody listened for their type: messages that are sent at once also come at once, without a turn between. */
  readonly #unheard: ToWorker[] = []

  constructor() {
    // What comes over this channel is sent by primary.ts, which is of the same version.
    process.on('message', (message: ToWorker) => {
      if (!this.#messages.emit(message.type, message)) this.#unheard.push(message)
    })
  }

  on<T extends ToWorker['type']>(type: T, listener: (message: Messages[T]) => void): void {
    this.#messages.on(type, listener)
    const missed = this.#unheard.findIndex((message) => message.type === type)
    if (missed >= 0) this.#messages.emit(type, ...this.#unheard.splice(missed, 1))
  }

  next<T extends ToWorker['type']>(type: T): Promise<Messages[T]> {
    return new Promise((resolve) => this.on(type, resolve))
  }

  /** @returns when it is sent, or cannot be as the primary process is gone: that is told by `disconnect` */
  send(message: ToPrimary): Promise<void> {
    return new Promise((resolve) => {
      if (!process.connected) resolve()
      else process.send?.(message, undefined, undefined, () => resolve())
    })
  }
}
