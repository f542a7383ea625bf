import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { serverAccount, spawnIdentity } from '../../src/db/embedded/account.ts'

export type PgBouncer = {
  /** The connection through it; any database of the server behind it. */
  readonly connection: pg.ClientConfig
  stop(): Promise<void>
}

/** Debian puts it where the PATH of an ordinary user does not look. */
const environment = { PATH: `${process.env.PATH}:/usr/sbin` }

/** The version of the PgBouncer on this machine, or undefined without one. */
export function pgBouncerVersion(): string | undefined {
  const { stdout } = spawnSync('pgbouncer', ['--version'], { encoding: 'utf8', env: environment })
  return /PgBouncer ([\d.]+)/.exec(stdout ?? '')?.[1]
}

/**
 * Puts a PgBouncer in transaction mode in front of a server: each transaction gets another of its few connections.
 *
 * @param connection of the server, as a role that may connect to every database
 */
export async function startPgBouncer(connection: pg.ClientConfig): Promise<PgBouncer> {
  const { host, port, user, password } = new pg.Client(connection)
  const folder = mkdtempSync(join(tmpdir(), 'pgbouncer-'))
  // The embedded server's socket is its own user's alone.
  const account = await serverAccount(undefined)
  if (account !== undefined) chownSync(folder, account.uid, account.gid)
  chmodSync(folder, 0o711)
  const listenPort = 6432
  const settings = join(folder, 'pgbouncer.ini')
  writeFileSync(
    settings,
    `[databases]
* = host=${host} port=${port} user=${user}${password ? ` password=${password}` : ''}
[pgbouncer]
listen_port = ${listenPort}
unix_socket_dir = ${folder}
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 1000
server_idle_timeout = 2
server_round_robin = 1
`,
    { mode: 0o644 },
  )
  const child = spawn('pgbouncer', [settings], {
    ...spawnIdentity(account),
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stderr })
  await Promise.race([
    (async () => {
      for await (const line of lines) if (line.includes('process up')) return
    })(),
    exited.then(() => Promise.reject(new Error('PgBouncer ended at its start'))),
  ])
  child.stderr.resume()
  return {
    connection: { host: folder, port: listenPort, ...(user && { user }), ssl: false },
    async stop() {
      child.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
