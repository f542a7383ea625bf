import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, readFile, realpath, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type pg from 'pg'
import { openDatabase } from '../../src/db/database.ts'
import { type Account, serverAccount, spawnIdentity } from '../../src/db/embedded/account.ts'
import { readPostmaster } from '../../src/db/embedded/postmaster.ts'
import { Place, query, until } from '../support/embedded-place.ts'

/** A PostgreSQL server that nobody starts again. */
export type PlainServer = {
  readonly connection: pg.ClientConfig
  sql(text: string): Promise<unknown[]>
  /** SIGKILL ends it as a crash does. */
  end(signal: NodeJS.Signals): Promise<void>
}

export type Pair = { readonly primary: PlainServer; readonly standby: PlainServer }

const port = 5432

/**
 * Makes pairs of a primary and a standby that follows it by streaming replication. The primary acknowledges what the
 * standby has.
 */
export async function pairs(t: TestContext): Promise<() => Promise<Pair>> {
  const place = await Place.make(t)
  const first = await place.start()
  const program = await programOf(await place.pid())
  const database = openDatabase({ connection: { ...first.connection, ssl: false }, poolMax: 1 })
  await database.prepare()
  await database.close()
  await first.stop()
  const origin = await realpath(place.cluster)
  const account = await serverAccount(origin)
  const running: PlainServer[] = []
  // The data is removed by the place, so that the servers have to end before it.
  t.after(() => Promise.all(running.map((server) => server.end('SIGKILL'))))
  let count = 0
  const copy = async (files: Readonly<Record<string, string>> = {}) => {
    const directory = join(place.dataDir, `${++count}`)
    await cp(origin, directory, { recursive: true, preserveTimestamps: true })
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
    if (account) await giveAway(directory, account)
    return directory
  }
  const start = async (directory: string, settings: Readonly<Record<string, string>> = {}) => {
    const server = await startPlain(program, directory, account, settings)
    running.push(server)
    return server
  }
  return async () => {
    const [primaryDir, standbyDir] = [await copy(), await copy({ 'standby.signal': '' })]
    const primary = await start(primaryDir)
    const standby = await start(standbyDir, {
      primary_conninfo: `host=${primaryDir} port=${port} user=postgres application_name=standby`,
    })
    await until('the standby follows', async () => {
      const followers = await primary.sql(`select from pg_stat_replication where state = 'streaming'`)
      return followers.length === 1
    })
    await primary.sql(`alter system set synchronous_standby_names = 'standby'`)
    await primary.sql('select pg_reload_conf()')
    return { primary, standby }
  }
}

/** The program of a running server: the first line of its postmaster.opts begins with it. */
async function programOf(pid: number): Promise<string> {
  const [program = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
  return program
}

async function giveAway(directory: string, { uid, gid }: Account): Promise<void> {
  const child = spawn('chown', ['-R', `${uid}:${gid}`, directory], { stdio: 'ignore' })
  await once(child, 'exit')
}

async function startPlain(
  program: string,
  directory: string,
  account: Account | undefined,
  settings: Readonly<Record<string, string>>,
): Promise<PlainServer> {
  const all = {
    listen_addresses: '',
    port: `${port}`,
    unix_socket_directories: directory,
    // Only processes are killed here, not the machine.
    fsync: 'off',
    ...settings,
  }
  const options = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(program, ['-D', directory, ...options], {
    ...spawnIdentity(account),
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  await until('the server takes connections', async () => {
    if (child.exitCode !== null) throw new Error(`The server of ${directory} ended with ${child.exitCode}`)
    return ['ready', 'standby'].includes((await readPostmaster(directory))?.status ?? '')
  })
  const connection = { host: directory, port, user: 'postgres', database: 'backend_core' }
  return {
    connection,
    sql: (text) => query({ connection }, text),
    end: (signal) => end(child, signal),
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}
