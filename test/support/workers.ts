import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { after } from 'node:test'
import type { LogLine } from './app.ts'
import { type Environment, type RunningService, startService } from './process.ts'

export type RunningWorkers = RunningService & {
  /** All lines of the log so far. */
  readonly logs: () => LogLine[]
  /** The process of each worker, by its number. */
  readonly pids: () => ReadonlyMap<number, number>
  /** Kills the process that has started the workers, and leaves them to themselves. */
  killPrimary(): Promise<void>
}

/** Starts the service with workers. None of its processes outlives the file. */
export async function startWorkers(environment: Environment): Promise<RunningWorkers> {
  const service = await startService({ WORKERS: '2', ...environment })
  const logs = () => readLog(service.stdout())
  const pids = () =>
    new Map(
      logs()
        .filter(({ msg }) => msg === 'worker started')
        .map(({ worker, pid }) => [Number(worker), Number(pid)]),
    )
  after(() => {
    for (const pid of pids().values()) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  return {
    ...service,
    logs,
    pids,
    async killPrimary() {
      const exit = once(service.child, 'exit')
      service.child.kill('SIGKILL')
      await exit
    },
  }
}

/** The lines of a log that are JSON; the start-up message is none. The last one may not have come whole. */
export function readLog(text: string): LogLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
}

/** Whether a process runs. One that has ended, and of whose end nobody has taken notice yet, does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT' && !existsSync('/proc/self')
  }
}
