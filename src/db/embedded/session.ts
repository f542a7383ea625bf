import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { DATABASE } from './cluster.ts'
import { EmbeddedPostgresError, errorCode, USE_DATABASE_URL } from './error.ts'
import { type EmitEvent, stopwatch } from './event.ts'
import { disownPidFile, identify, isAlive, type Postmaster, readPostmaster } from './postmaster.ts'
import { POLL_MS, type Server, START_TIMEOUT_MS, startServer } from './server.ts'

/**
 * The session advisory lock that says "this process owns the server": the server itself frees it when the process dies.
 * It is taken in the database `postgres`, where it cannot meet locks of the application, and where its connection does
 * not stand in the way of those who copy or drop the application's database.
 */
export const OWNER_LOCK = [0x62636f72, 1] as const

/** How long a server may leave a question open, and how long a killed server's rests may be in the way. */
const ANSWER_TIMEOUT_MS = 10_000
/** How long the server may take to notice that the process of a session is gone. */
const DEAD_OWNER_TIMEOUT_MS = 2_000

/** A connection to the running server of a data folder. */
export type Session = {
  readonly client: pg.Client
  readonly pid: number
  readonly connection: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly database: string
  }
  /** True when this call started the server. */
  readonly started: boolean
  /** Resolves when the connection has ended, for whatever cause, with the reason. */
  readonly ended: Promise<string>
}

async function openSession(server: Server, emit: EmitEvent): Promise<Session> {
  const { directory } = server
  const elapsed = stopwatch()
  let startedPid: number | undefined
  for (;;) {
    const postmaster = await readPostmaster(directory)
    if (postmaster !== undefined) {
      // Asked before its pid is looked at: a pid of another container says nothing here, an answer does.
      const session = await connect(postmaster, directory)
      if (session !== undefined) return { ...session, started: session.pid === startedPid }
      const identity = await identify(postmaster.pid, directory)
      if (identity === 'server') {
        const limitMs = postmaster.status === 'ready' ? ANSWER_TIMEOUT_MS : START_TIMEOUT_MS
        if (elapsed() > limitMs) throw silent(server, postmaster)
        await delay(POLL_MS)
        continue
      }
      if (identity === 'foreign') {
        await disownPidFile(directory)
        emit({ type: 'stale-pid-corrected', directory, pid: postmaster.pid })
      }
    }
    const starting = stopwatch()
    const outcome = await startServer(server)
    if (typeof outcome === 'object') {
      if (elapsed() > ANSWER_TIMEOUT_MS) throw inTheWay(server, outcome.occupied)
      await delay(5 * POLL_MS)
      continue
    }
    startedPid = outcome
    emit({ type: 'started', directory, pid: outcome, durationMs: starting() })
  }
}

function silent(server: Server, { pid, socketDir, status }: Postmaster): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `A PostgreSQL server (pid ${pid}, ${status || 'status unknown'}) runs on ${server.directory} and does not answer at ${socketDir}. ` +
      `Stop it ("kill -INT ${pid}"; see ${server.logFile}), set DATA_DIR to another folder, ${USE_DATABASE_URL}.`,
  )
}

function inTheWay(server: Server, output: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `Processes of a former PostgreSQL server still use ${server.directory}. Stop them, set DATA_DIR to another folder, ` +
      `${USE_DATABASE_URL}. The new server said:\n${output}`,
  )
}

function elsewhere({ directory }: Server): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `A PostgreSQL server runs on ${directory} in another container. Stop it there, set DATA_DIR to another folder, ` +
      `${USE_DATABASE_URL}.`,
  )
}

/** What a client meets when no server listens, or one that is just starting, stopping or dying. */
const nobodyAnswers = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P01', '57P02', '57P03'])

function isUnanswered(error: unknown): boolean {
  const message = error instanceof Error ? error.message : ''
  return (
    nobodyAnswers.has(errorCode(error) ?? '') ||
    /timeout|terminated unexpectedly|not queryable/i.test(message)
  )
}

async function connect(
  { socketDir, port }: Postmaster,
  directory: string,
): Promise<Omit<Session, 'started'> | undefined> {
  const client = new pg.Client({
    host: socketDir,
    port,
    user: 'postgres',
    database: 'postgres',
    ssl: false,
    application_name: `backend-core pid ${process.pid}`,
    connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
  })
  let reason = 'connection closed'
  client.on('error', (error) => {
    reason = error.message
  })
  const ended = new Promise<string>((resolve) => client.once('end', () => resolve(reason)))
  try {
    await client.connect()
    const { rows } = await client.query<{ served: string; pid: number }>(
      `select current_setting('data_directory') as served,
              split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as pid`,
    )
    const { served, pid } = rows[0] ?? { served: undefined, pid: 0 }
    const connection = { host: socketDir, port, user: 'postgres', database: DATABASE }
    if (served === directory) return { client, pid, connection, ended }
    await client.end()
    throw new EmbeddedPostgresError(
      `The PostgreSQL server at ${socketDir} serves ${served}, not ${directory}. Stop it, or set DATA_DIR to another folder.`,
    )
  } catch (error) {
    if (isUnanswered(error)) return undefined
    throw error
  }
}

/**
 * Connects to the server of the data folder, which it starts if it does not run, and takes the lock that makes this process the owner of the server.
 * @returns the session, which holds the lock if `owner` is undefined; else `owner` is the pid of the process that does
 * @throws {EmbeddedPostgresError} the server cannot be started, or runs and does not answer or is not of this machine
 */
export async function openOwnedSession(
  server: Server,
  emit: EmitEvent,
): Promise<{ readonly session: Session; readonly owner: number | undefined }> {
  const elapsed = stopwatch()
  for (;;) {
    const session = await openSession(server, emit)
    try {
      const owner = await takeLock(session.client)
      // Who owns the server stops it by its pid.
      if (owner === undefined && (await identify(session.pid, server.directory)) !== 'server')
        throw elsewhere(server)
      return { session, owner }
    } catch (error) {
      await session.client.end()
      // Its owner is stopping it this very moment, or it crashed: the next one will do.
      if (!isUnanswered(error) || elapsed() > ANSWER_TIMEOUT_MS) throw error
    }
  }
}

/** @returns undefined when the lock is taken, else the pid of the process that holds it */
async function takeLock(client: pg.Client): Promise<number | undefined> {
  const elapsed = stopwatch()
  for (;;) {
    const tried = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1, $2) as taken', [
      ...OWNER_LOCK,
    ])
    if (tried.rows[0]?.taken === true) return undefined
    const holder = await client.query<{ name: string }>(
      `select a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
       where l.locktype = 'advisory' and l.classid = $1 and l.objid = $2 and l.objsubid = 2 and l.granted
         and l.database = (select oid from pg_database where datname = current_database())`,
      [...OWNER_LOCK],
    )
    const pid = Number(/^backend-core pid (\d+)$/.exec(holder.rows[0]?.name ?? '')?.[1] ?? 0)
    if (pid !== 0 && (isAlive(pid) || elapsed() > DEAD_OWNER_TIMEOUT_MS)) return pid
    // Freed meanwhile, or about to be.
    await delay(POLL_MS)
  }
}
