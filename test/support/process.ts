import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'

const root = fileURLToPath(new URL('../../', import.meta.url))
const deadlineMs = 30_000

export type Finished = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

export type RunningService = {
  readonly child: ChildProcess
  readonly url: string
  readonly stdout: () => string
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Finished>
}

export type Environment = Readonly<Record<string, string>>

/** A folder for DATA_DIR, removed when the file ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'backend-core-'))
  // As root, the embedded server's user must be able to pass through, or its data would go elsewhere.
  chmodSync(folder, 0o711)
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The address of a database of the test cluster, whatever it listens on. */
export function addressOf({ host, port, user, password, database }: pg.ClientConfig): string {
  const login =
    encodeURIComponent(String(user)) + (password ? `:${encodeURIComponent(String(password))}` : '')
  return `postgres://${login}@${encodeURIComponent(String(host))}:${port}/${database}`
}

/** Runs a script of the product to its end, with nothing in its environment but PATH and what is given. */
export function runScript(
  script: string,
  args: string[],
  environment: Environment,
  cwd = root,
): Promise<Finished> {
  const { child, finished } = launch(script, args, environment, cwd)
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
  return finished.finally(() => clearTimeout(timer))
}

/**
 * Starts the service and waits until it listens. Killed at the end of the file if it still runs.
 *
 * @param code the folder that its sources are in, to start another version
 * @throws Error with what it printed when it ends instead
 */
export async function startService(
  environment: Environment,
  cwd = root,
  code = root,
): Promise<RunningService> {
  const { child, finished, output } = launch(
    join(code, 'src/main.ts'),
    [],
    // Nothing is in front of it that would have to be told of a stop.
    { PORT: '0', SHUTDOWN_DELAY_MS: '0', ...environment },
    cwd,
  )
  after(() => child.kill('SIGKILL'))
  const { promise: listening, resolve } = Promise.withResolvers<string>()
  child.stdout?.on('data', () => {
    const address = /"address":"([^"]+)"/.exec(output.stdout)?.[1]
    if (address !== undefined) resolve(address)
  })
  const ended = finished.then(({ code, stdout, stderr }) => {
    throw new Error(`The service ended with ${code}:\n${stdout}\n${stderr}`)
  })
  const url = await Promise.race([listening, ended])
  ended.catch(() => {})
  return {
    child,
    url,
    stdout: () => output.stdout,
    end(signal) {
      child.kill(signal)
      return finished
    },
  }
}

export type PipedService = {
  readonly pid: number
  /** Waits for the end, and returns the exit code. */
  ended(): Promise<number>
}

/**
 * Starts the service on a port with its standard output in a pipe whose reader goes away after the first line, as in
 * `node src/main.ts | head -n 1`. Killed at the end of the file if it still runs.
 */
export async function startServicePipedToHead(environment: Environment, port: number): Promise<PipedService> {
  const script = `{ sh -c 'echo "pid $$" >&2; exec "$@"' sh "$@"; echo "code $?" >&2; } | head -n 1`
  const command = [process.execPath, '-r', join(root, 'preload.cjs'), join(root, 'src/main.ts')]
  const { PATH = '' } = process.env
  const child = spawn('sh', ['-c', script, 'sh', ...command], {
    cwd: root,
    env: { PATH, PORT: String(port), SHUTDOWN_DELAY_MS: '0', ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk
  })
  const closed = new Promise<void>((done) => child.on('close', () => done()))
  const pid = Number(await eventually(async () => /^pid (\d+)$/m.exec(stderr)?.[1]))
  let hasEnded = false
  after(() => hasEnded || process.kill(pid, 'SIGKILL'))
  return {
    pid,
    async ended() {
      await closed
      hasEnded = true
      return Number(/^code (\d+)$/m.exec(stderr)?.[1])
    },
  }
}

/** Polls until the condition gives something else than undefined or false. */
export async function eventually<T>(
  condition: () => Promise<T | undefined | false>,
  withinMs = 15_000,
): Promise<T> {
  const end = Date.now() + withinMs
  for (;;) {
    const result = await condition()
    if (result !== undefined && result !== false) return result
    if (Date.now() > end) throw new Error(`Not within ${withinMs} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function launch(script: string, args: string[], environment: Environment, cwd: string) {
  const { PATH = '', NODE_V8_COVERAGE } = process.env
  const guard = join(root, 'preload.cjs')
  const child = spawn(process.execPath, ['-r', guard, resolve(root, script), ...args], {
    cwd,
    env: { PATH, ...(NODE_V8_COVERAGE && { NODE_V8_COVERAGE }), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    output.stdout += chunk
  })
  child.stderr.on('data', (chunk: Buffer) => {
    output.stderr += chunk
  })
  const finished = new Promise<Finished>((resolve) => {
    child.on('close', (code) => resolve({ code, ...output }))
  })
  return { child, finished, output }
}
