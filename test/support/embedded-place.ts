import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { identify, isAlive, readPostmaster } from '../../src/db/embedded/postmaster.ts'
import {
  type EmbeddedPostgres,
  EmbeddedPostgresError,
  type EmbeddedPostgresEvent,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from '../../src/db/embedded-postgres.ts'

/** The program that owns a server in a process of its own. */
export const ownerScript = fileURLToPath(new URL('embedded-owner.ts', import.meta.url))

/** A folder for temporary files that the server's user can enter, under its path without symbolic links. */
export async function makeRoot(): Promise<string> {
  const root = await mkdtemp(join(await realpath(tmpdir()), 'embedded-'))
  await chmod(root, 0o711)
  return root
}

/** A DATA_DIR, and all that one test runs on it. Nothing runs there when the test has ended, whatever it did. */
export class Place {
  readonly dataDir: string
  readonly events: EmbeddedPostgresEvent[] = []
  readonly #servers: EmbeddedPostgres[] = []
  readonly #processes: ChildProcess[] = []

  private constructor(dataDir: string) {
    this.dataDir = dataDir
  }

  /** A DATA_DIR of the test's own, removed after it. @param name its path in a new folder */
  static async make(t: TestContext, name = 'data'): Promise<Place> {
    const root = await makeRoot()
    const place = new Place(join(root, name))
    t.after(async () => {
      await place.#end()
      await place.remove()
      await rm(root, { recursive: true, force: true, maxRetries: 10 })
    })
    return place
  }

  /** A DATA_DIR that tests share one after the other. */
  static open(t: TestContext, dataDir: string): Place {
    const place = new Place(dataDir)
    t.after(() => place.#end())
    return place
  }

  get cluster(): string {
    return join(this.dataDir, 'postgres')
  }

  /** What happened to the server; whether its programs had to be copied depends on where the checkout is. */
  get types(): readonly string[] {
    return this.events.map(({ type }) => type).filter((type) => type !== 'binaries-copied')
  }

  count(type: EmbeddedPostgresEvent['type']): number {
    return this.types.filter((each) => each === type).length
  }

  async start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
    const onEvent = (event: EmbeddedPostgresEvent) => void this.events.push(event)
    const server = await startEmbeddedPostgres({ dataDir: this.dataDir, durable: false, onEvent, ...options })
    this.#servers.push(server)
    return server
  }

  /** Runs embedded-owner.ts in a process group of its own. */
  spawn(options: { join?: boolean; uid?: number; gid?: number } = {}): ChildProcess {
    const { join: joins, ...user } = options
    const args = [ownerScript, this.dataDir, ...(joins ? ['join'] : [])]
    const child = spawn(process.execPath, args, {
      ...user,
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#processes.push(child)
    return child
  }

  /** The pid of the server. */
  async pid(): Promise<number> {
    const postmaster = await readPostmaster(await realpath(this.cluster))
    assert.ok(postmaster, 'a server runs')
    return postmaster.pid
  }

  async #end(): Promise<void> {
    for (const child of this.#processes) await end(child, 'SIGKILL')
    await Promise.allSettled(this.#servers.map((server) => server.stop()))
    const directory = await realpath(this.cluster).catch(() => undefined)
    const left = directory && (await readPostmaster(directory))
    if (!left || (await identify(left.pid, directory)) !== 'server') return
    process.kill(left.pid, 'SIGKILL')
    await until('the server is gone', async () => (await identify(left.pid, directory)) !== 'server')
  }

  /** Removes the data, also where a link leads to it. */
  async remove(): Promise<void> {
    const directory = await realpath(this.cluster).catch(() => undefined)
    if (directory !== undefined) await rm(directory, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** Waits for what another process does. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `in time: ${what}`)
    await delay(10)
  }
}

/** Waits until there is no such process, also not one that its parent has yet to collect. */
export function untilGone(pid: number): Promise<void> {
  return until(`process ${pid} is gone`, () => !isAlive(pid))
}

/** Sends a signal, and waits until the child has ended. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

/** The first line that embedded-owner.ts writes. */
export async function report(child: ChildProcess): Promise<Readonly<Record<string, unknown>>> {
  assert.ok(child.stdout)
  for await (const line of createInterface(child.stdout)) {
    const value: unknown = JSON.parse(line)
    assert.ok(typeof value === 'object' && value !== null)
    return { ...value }
  }
  return { error: 'it ended without a word' }
}

/** The rows of one statement, on a connection of its own. */
export async function query(server: Pick<EmbeddedPostgres, 'connection'>, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ ...server.connection, ssl: false })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** Checks that something fails with an EmbeddedPostgresError, and what its message tells. */
export async function refused(
  work: Promise<unknown>,
  ...parts: (string | RegExp)[]
): Promise<EmbeddedPostgresError> {
  const error = await work.then(
    () => assert.fail('it went well'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof EmbeddedPostgresError, String(error))
  for (const part of parts) {
    if (typeof part === 'string') assert.ok(error.message.includes(part), `${error.message} tells ${part}`)
    else assert.match(error.message, part)
  }
  return error
}
