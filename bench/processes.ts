import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type EmbeddedPostgresEvent, startEmbeddedPostgres } from '../src/db/embedded-postgres.ts'

// The processes of a benchmark. What one of them needs is on `Stage`, which takes all of it down again.

const root = fileURLToPath(new URL('../', import.meta.url))

/** The key of the tokens of all benchmarks. */
export const benchSecret = 'k3Vw9-bench-secret-of-tokens-Qz7Lp0'

export type Process = { readonly pid: number; end(): Promise<void> }

export type Service = Process & {
  readonly url: string
  /** What it logged until it was ready. */
  readonly startLog: string
  /** From its start until it was ready. */
  readonly startMs: number
  /** Its memory after a collection, of a service that is started to be probed. */
  memory(): Promise<NodeJS.MemoryUsage>
}

export type Worker<Job, Result> = Process & {
  /** One job at a time. */
  run(job: Job): Promise<Result>
}

/** Has a service tell its memory when it is asked. */
const probe = [
  '--expose-gc',
  '--import',
  `data:text/javascript,process.on('message',()=>{gc();gc();process.send(process.memoryUsage())})`,
]

/** The arguments of node in `npm start`, the script last. */
export function startArguments(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return String(scripts.start)
    .split(' ')
    .slice('exec node'.split(' ').length)
    .map((each) => (/\.c?ts$|\.cjs$/.test(each) ? join(root, each) : each))
}

/**
 * Runs a benchmark on a stage, which is taken down at its end, on a failure and on a signal. A failure is told on standard
 * error, and sets the exit code.
 */
export async function onStage(work: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage()
  // Ctrl-C comes twice: from the terminal, and from npm, which passes it on.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => stage.fail(new Stop(`stopped by ${signal}`)))
  process.on('uncaughtException', (error) => stage.fail(error))
  try {
    await Promise.race([work(stage), stage.failed])
  } catch (error) {
    const text = error instanceof Stop ? error.message : error instanceof Error ? error.stack : error
    process.stderr.write(`${text}\n`)
    process.exitCode = 1
  } finally {
    await stage.dispose()
  }
  // What was cut off may still wait for something.
  process.exit()
}

/** What is wrong with the call, or that someone wants it to end: no stack is of use. */
export class Stop extends Error {}

/** Everything that a benchmark starts; `dispose` ends it, the last first. */
export class Stage {
  readonly #cleanup = new AsyncDisposableStack()
  readonly #failure = Promise.withResolvers<never>()
  /** What is being started, and can be ended only once it is there. */
  readonly #starting = new Set<Promise<unknown>>()
  #isEnding = false

  constructor() {
    this.#failure.promise.catch(() => {})
  }

  /** Rejects when something ends that must not, and on a signal. */
  get failed(): Promise<never> {
    return this.#failure.promise
  }

  fail(error: Error): void {
    if (!this.#isEnding) this.#failure.reject(error)
  }

  async dispose(): Promise<void> {
    this.#isEnding = true
    await Promise.allSettled(this.#starting)
    await this.#cleanup.disposeAsync()
  }

  folder(): string {
    this.#begin()
    const folder = mkdtempSync(join(tmpdir(), 'backend-core-bench-'))
    this.#cleanup.defer(() => rmSync(folder, { recursive: true, force: true }))
    // As root, the embedded server's user must be able to pass through, or its data would go elsewhere.
    chmodSync(folder, 0o711)
    return folder
  }

  /** A PostgreSQL of its own, as `npm start` runs it: what it says is written is on the disk. @returns its address */
  async startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<string> {
    const onEvent = (event: EmbeddedPostgresEvent) => {
      if (event.type === 'exited') this.fail(new Error(`PostgreSQL died: ${event.reason}`))
    }
    const starting = startEmbeddedPostgres({ dataDir: this.folder(), settings, onEvent }).then((server) => {
      this.#cleanup.defer(() => server.stop())
      return server
    })
    this.#starting.add(starting)
    const server = await starting
    this.#starting.delete(starting)
    const { user, host, port, database } = server.connection
    return `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`
  }

  /** The service in production mode, as `npm start` runs it; resolves when it is ready. */
  async startService(
    databaseUrl: string,
    environment: Readonly<Record<string, string>> = {},
    { isProbed = false }: { readonly isProbed?: boolean } = {},
  ): Promise<Service> {
    this.#begin()
    const startedAt = performance.now()
    const child = spawn(process.execPath, [...(isProbed ? probe : []), ...startArguments()], {
      env: {
        PATH: process.env.PATH ?? '',
        PORT: '0',
        DATABASE_URL: databaseUrl,
        BETTER_AUTH_SECRET: benchSecret,
        NODE_ENV: 'production',
        SHUTDOWN_DELAY_MS: '0',
        // On, so that its cost is in, and never reached.
        RATE_LIMIT_PER_MINUTE: '1000000',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'inherit', ...(isProbed ? (['ipc'] as const) : [])],
    })
    let [head, isReady] = ['', false]
    const ready = Promise.withResolvers<string>()
    // Read to the end: a service whose log nobody reads would stop at a full pipe.
    child.stdout?.on('data', (chunk: Buffer) => {
      if (isReady) return
      head += chunk
      const address = /"address":"([^"]+)"/.exec(head)?.[1]
      if (address === undefined) return
      isReady = true
      ready.resolve(address)
    })
    const end = this.#watch(child, 'the service')
    const url = await Promise.race([ready.promise, this.failed])
    const startMs = performance.now() - startedAt
    const memory = async (): Promise<NodeJS.MemoryUsage> => {
      child.send('memory')
      const [usage] = await Promise.race([once(child, 'message'), this.failed])
      return usage
    }
    return { pid: Number(child.pid), url, end, startLog: head, startMs, memory }
  }

  /** A module of this folder that calls `serveJobs`, in a process of its own. */
  async startWorker<Job, Result>(
    module: string,
    isResult: (value: unknown) => value is Result,
  ): Promise<Worker<Job, Result>> {
    this.#begin()
    const nodeArguments = startArguments().filter((each) => each.startsWith('--'))
    const child = fork(join(root, 'bench', module), { execArgv: nodeArguments })
    const end = this.#watch(child, module)
    const answer = async () => {
      const [message] = await Promise.race([once(child, 'message'), this.failed])
      // What serveJobs sends.
      const { result, error } = message as { result?: unknown; error?: string }
      if (error !== undefined) throw new Error(`${module}: ${error}`)
      return result
    }
    await answer()
    const run = async (job: Job): Promise<Result> => {
      child.send(job as object)
      const result = await answer()
      if (!isResult(result)) throw new Error(`${module} answered ${JSON.stringify(result)}`)
      return result
    }
    return { pid: Number(child.pid), run, end }
  }

  /** After the end nothing is started that would be left running. */
  #begin(): void {
    if (this.#isEnding) throw new Error('The benchmark is ending')
  }

  /** @returns ends it, and waits for that */
  #watch(child: ChildProcess, name: string): () => Promise<void> {
    let isExpected = false
    const exited = new Promise<void>((resolve) => {
      child.once('error', (error) => this.fail(error))
      child.once('close', (code, signal) => {
        resolve()
        if (!isExpected) this.fail(new Error(`${name} ended with ${signal ?? code}`))
      })
    })
    const end = async () => {
      isExpected = true
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await exited
      clearTimeout(timer)
    }
    this.#cleanup.defer(end)
    return end
  }
}

/** A process and those that it has started: the primary process of a service first, then its workers. */
export function processesOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').match(/\d+/g) ?? []
  return [pid, ...children.flatMap((child) => processesOf(Number(child)))]
}

/** CPU time of a process so far, its own and the kernel's, in microseconds; Linux counts it in ticks of 10 ms. */
export function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

/** Memory of a process that is in RAM, in bytes. */
export function rssOf(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}
