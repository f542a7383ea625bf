import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export type Redis = {
  /** Its address, which stays the same. */
  readonly url: string
  /** It takes connections and requests, and answers nothing. */
  stall(): void
  resume(): void
  /** Ends it as a crash does; its data is lost. */
  kill(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

/** Why tests with a Redis are left out, or false when there is one on this machine. */
export const noRedis =
  spawnSync('redis-server', ['--version']).status !== 0 &&
  'There is no redis-server on this machine (Debian: apt-get install redis-server).'

/** Starts a Redis without a file on disk, behind a port that the system gave. */
export async function startRedis(): Promise<Redis> {
  const folder = mkdtempSync(join(tmpdir(), 'redis-'))
  const path = join(folder, 'socket')
  const sockets = new Set<Socket>()
  // Redis itself cannot be asked to take any free port.
  const front = createServer((client) => {
    const upstream = connect(path)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  const address = front.address()
  if (typeof address !== 'object' || address === null) throw new Error('There is no port')
  let child: ChildProcess | undefined
  const kill = async () => {
    if (child === undefined) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
    child = undefined
  }
  const start = async () => {
    const options = ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no', '--dir', folder]
    const started = spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'ignore'] })
    child = started
    for await (const line of createInterface({ input: started.stdout })) {
      if (/ready to accept connections/i.test(line)) break
    }
    started.stdout.resume()
  }
  await start()
  return {
    url: `redis://127.0.0.1:${address.port}`,
    stall: () => child?.kill('SIGSTOP'),
    resume: () => child?.kill('SIGCONT'),
    kill,
    start,
    async stop() {
      await kill()
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => front.close(resolve))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
