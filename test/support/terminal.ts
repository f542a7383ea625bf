import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { root } from './imports.ts'

export type Output = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/**
 * Runs blocks of shell commands as a reader of a page would in one terminal, in the root of the repository: what a
 * block assigns is there in the next. Every mention of the default port becomes that of a port of its own.
 */
export class Terminal {
  readonly #port: number
  readonly #environment: Readonly<Record<string, string>>
  readonly #stateFile: string

  private constructor(port: number, folder: string, environment: Readonly<Record<string, string>>) {
    this.#port = port
    this.#stateFile = join(folder, 'terminal-state')
    const { PATH = '', HOME = '', NODE_V8_COVERAGE } = process.env
    // Empty counts as unset, also for what a .env in this folder says.
    const unset = { DATABASE_URL: '', BETTER_AUTH_SECRET: '', NODE_ENV: '', LOG_LEVEL: '', HOST: '' }
    const inherited = { PATH, HOME, ...(NODE_V8_COVERAGE && { NODE_V8_COVERAGE }) }
    this.#environment = { ...unset, ...inherited, PORT: String(port), ...environment }
  }

  /** @param folder for files of its own; the caller removes it */
  static async open(folder: string, environment: Readonly<Record<string, string>>): Promise<Terminal> {
    return new Terminal(await freePort(), folder, environment)
  }

  get address(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Runs a block to its end; the first command that fails ends it. */
  run(block: string): Promise<Output> {
    const script = `set -a; test ! -e "$0" || . "$0"; set +a\nset -e -a\n${this.#localise(block)}\nexport -p > "$0"\n`
    return collect(this.#spawn(['-c', script, this.#stateFile]))
  }

  /** Starts a block that runs on, and waits until the service answers that it is ready. */
  async start(block: string): Promise<{ stop(): Promise<Output> }> {
    const child = this.#spawn(['-e', '-c', this.#localise(block)])
    const ended = collect(child)
    const isRunning = () => child.exitCode === null && child.signalCode === null
    const stop = async (signal: NodeJS.Signals = 'SIGINT') => {
      // As Ctrl-C does: to every process of the terminal.
      if (isRunning() && child.pid !== undefined) process.kill(-child.pid, signal)
      return ended
    }
    for (const deadline = performance.now() + 30_000; ; await delay(50)) {
      const ready = await fetch(`${this.address}/ready`).catch(() => undefined)
      if (ready?.ok) return { stop }
      if (isRunning() && performance.now() < deadline) continue
      const { code, stdout, stderr } = await stop('SIGKILL')
      throw new Error(`${block} is not ready (exit code ${code}):\n${stdout}\n${stderr}`)
    }
  }

  #localise(block: string): string {
    return block.replaceAll('127.0.0.1:8000', `127.0.0.1:${this.#port}`)
  }

  #spawn(args: string[]) {
    const stdio = ['ignore', 'pipe', 'pipe'] as const
    return spawn('sh', args, { cwd: root, env: this.#environment, stdio: [...stdio], detached: true })
  }
}

function collect(child: ReturnType<typeof spawn>): Promise<Output> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** A port that nobody listens on at this moment. */
function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('No port was given'))
        else resolve(address.port)
      })
    })
  })
}
