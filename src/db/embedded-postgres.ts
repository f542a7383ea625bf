import { dirname, join, resolve } from 'node:path'
import { serverAccount } from './embedded/account.ts'
import { findBinaryPackage, usableBinaries } from './embedded/binaries.ts'
import { checkCluster, createCluster, findCluster } from './embedded/cluster.ts'
import { asEmbeddedPostgresError, EmbeddedPostgresError, USE_DATABASE_URL } from './embedded/error.ts'
import type { EmbeddedPostgresEvent, EmitEvent } from './embedded/event.ts'
import { Owner } from './embedded/owner.ts'
import { runsAsAsked, type Server, stopServer } from './embedded/server.ts'
import { openOwnedSession, type Session } from './embedded/session.ts'
import { chooseSocketDir } from './embedded/socket-dir.ts'

export { EmbeddedPostgresError } from './embedded/error.ts'
export type { EmbeddedPostgresEvent } from './embedded/event.ts'

/** A PostgreSQL server of this service's own, whose data is in a folder. */
export type EmbeddedPostgres = {
  /** Connection settings for `pg`: superuser `postgres` over a Unix socket; stable across restarts of the server. */
  readonly connection: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly database: string
  }
  /** True when this process holds the folder and stops the server at the end; false for a tool that joined one in use. */
  readonly owned: boolean
  /** Stops the server when owned (fast shutdown, waits), else only lets go. Idempotent. */
  stop(): Promise<void>
}

export type EmbeddedPostgresOptions = {
  /** The folder of the data, relative to the working directory or absolute; made if missing. */
  readonly dataDir: string
  /**
   * "exclusive" (the default) fails when another living process owns the folder; "join" uses the server beside that
   * process, and owns the folder for as long as it runs when nobody else does.
   */
  readonly mode?: 'exclusive' | 'join'
  /** False loses data when the machine stops: for tests only. Default true. */
  readonly durable?: boolean
  /** Told what happens, for the log. Must not throw. */
  readonly onEvent?: (event: EmbeddedPostgresEvent) => void
  /** More settings of the server, e.g. max_connections. https://www.postgresql.org/docs/18/runtime-config.html */
  readonly settings?: Readonly<Record<string, string>>
}

/** Where root puts what the server's user cannot reach elsewhere. */
const SYSTEM_DIR = '/var/lib/backend-core'

const notDurable = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Starts the PostgreSQL server of a data folder, with a database `backend_core` in it; makes the folder at the first
 * start. A server that a killed process left running is used as it is. If the server dies it is started again, and the
 * connection settings stay the same.
 * @throws {EmbeddedPostgresError} the folder is in use, or the server cannot run here; the message says what to do
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir)
  const emit = options.onEvent ?? (() => undefined)
  try {
    const server = await prepare(dataDir, options, emit)
    return await acquire(server, options.mode ?? 'exclusive', emit)
  } catch (error) {
    throw asEmbeddedPostgresError(error, dataDir)
  }
}

/** Everything that is done before a server runs. */
async function prepare(dataDir: string, options: EmbeddedPostgresOptions, emit: EmitEvent): Promise<Server> {
  const source = await findBinaryPackage()
  const { link, existing } = await findCluster(dataDir)
  const account = await serverAccount(existing)
  const binaries = await usableBinaries(source, account, SYSTEM_DIR, emit)
  const durable = options.durable ?? true
  const directory =
    existing ?? (await createCluster({ link, binaries, account, durable, systemDir: SYSTEM_DIR, emit }))
  await checkCluster(directory, binaries, account)
  return {
    directory,
    binaries,
    account,
    socketDir: await chooseSocketDir(directory, account),
    logFile: join(dirname(link), 'postgres.log'),
    settings: { ...(durable ? {} : notDurable), ...options.settings },
  }
}

async function acquire(
  server: Server,
  mode: 'exclusive' | 'join',
  emit: EmitEvent,
): Promise<EmbeddedPostgres> {
  const { directory } = server
  const { session, owner } = await openOwnedSession(server, emit)
  if (owner === undefined) return own(server, session, mode, emit)
  await session.client.end()
  if (mode === 'join') {
    emit({ type: 'joined', directory, pid: session.pid, ownerPid: owner })
    return { connection: session.connection, owned: false, stop: async () => undefined }
  }
  throw new EmbeddedPostgresError(
    `The data folder ${directory} is in use by process ${owner}. Stop that process, set DATA_DIR to ` +
      `another folder, ${USE_DATABASE_URL}.`,
  )
}

async function own(
  server: Server,
  session: Session,
  mode: 'exclusive' | 'join',
  emit: EmitEvent,
): Promise<EmbeddedPostgres> {
  const { connection, pid, client, started } = session
  const { directory } = server
  // A server found running keeps its socket where it is, and so must the one that may follow it.
  const running = { ...server, socketDir: connection.host }
  if (!started && mode === 'exclusive' && !(await runsAsAsked(server))) {
    await stopServer(running, pid).finally(() => client.end())
    emit({ type: 'settings-changed', directory, pid })
    return acquire(server, mode, emit)
  }
  if (!started) emit({ type: 'reused', directory, pid })
  const owner = new Owner(running, session, emit)
  return { connection, owned: true, stop: () => owner.stop() }
}
