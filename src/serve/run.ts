import type { Logger, LogOutput } from '../ops/logging.ts'

/** Ctrl-C comes twice: from the terminal, and from npm, which passes it on. Later than this it is meant again. */
const repeatMs = 1_000

/** Why a process stops; of these SIGTERM alone comes with a load balancer that has to be told first. */
export type StopReason = 'SIGTERM' | 'SIGINT' | 'disconnect'

/** What a start is given. */
export type Run = {
  readonly logger: Logger
  readonly output: LogOutput
  /** What must be taken down again is put on it, in order. */
  readonly cleanup: AsyncDisposableStack
  /** Aborted, with the reason, when the process is to stop. */
  readonly stopping: AbortSignal
}

export type RunOptions = {
  readonly logger: Logger
  /** Where the log goes: the last lines of the process are waited for. */
  readonly output: LogOutput
  /** Brings everything up. */
  readonly start: (run: Run) => Promise<void>
  /** Has `stop` called when the process is to stop; the first call counts. */
  readonly onStop: (stop: (reason: StopReason) => void) => void
}

/**
 * The life of a process that serves: what was started is taken down in the opposite order when it is to stop, and then
 * the process ends, with exit code 0 if that went well.
 *
 * @throws what the start throws, after what had been started was taken down
 */
export async function runUntilStopped({ logger, output, start, onStop }: RunOptions): Promise<void> {
  const cleanup = new AsyncDisposableStack()
  const stopping = new AbortController()
  process.on('uncaughtException', async (err) => {
    logger.fatal({ err }, 'uncaught exception')
    await output.end()
    process.exit(1)
  })
  const started = start({ logger, output, cleanup, stopping: stopping.signal })
  onStop(async (reason) => {
    if (stopping.signal.aborted) return
    logger.info({ signal: reason }, 'stopping')
    stopping.abort(reason)
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
  })
  try {
    await started
  } catch (error) {
    // A stop during the start has its own end.
    if (stopping.signal.aborted) return
    await cleanup.disposeAsync()
    throw error
  }
}

/** Stops by SIGTERM and SIGINT; a second one, a while after the first, ends the process at once. */
export function stopOnSignals(logger: Logger, output: LogOutput): RunOptions['onStop'] {
  return (stop) => {
    let firstAt: number | undefined
    const onSignal = async (signal: 'SIGTERM' | 'SIGINT') => {
      if (firstAt === undefined) {
        firstAt = performance.now()
        stop(signal)
      } else if (performance.now() - firstAt >= repeatMs) {
        logger.warn({ signal }, 'second signal: stopping at once')
        await output.end()
        process.exit(1)
      }
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  }
}

/** Stops a process that listens to signals, as one that has failed. */
export function stopAsFailed(): void {
  process.exitCode = 1
  process.kill(process.pid, 'SIGTERM')
}
