import { type ChildProcess, spawn } from 'node:child_process'
import { type FileHandle, open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Account, spawnIdentity } from './account.ts'
import type { Binaries } from './binaries.ts'
import { EmbeddedPostgresError, errorCode, USE_DATABASE_URL, unlessMissing } from './error.ts'
import { stopwatch } from './event.ts'
import { isRunning, readPostmaster, SOCKET_PORT } from './postmaster.ts'
import { ensureSocketDir, removeSocketDir } from './socket-dir.ts'

/** All that is needed to run one data folder's server. */
export type Server = {
  /** The data folder, absolute, without symbolic links. */
  readonly directory: string
  readonly socketDir: string
  readonly logFile: string
  readonly binaries: Binaries
  readonly account: Account | undefined
  /** `-c` settings, without those that this module sets. */
  readonly settings: Readonly<Record<string, string>>
}

/** A server that recovers from a crash answers only when it has replayed its log: a minute, as pg_ctl grants it. */
export const START_TIMEOUT_MS = 60_000
/** The same for the last checkpoint of a server that stops. */
export const STOP_TIMEOUT_MS = 60_000
/** How often a wait looks again: short beside a start (30 ms). */
export const POLL_MS = 10

const LARGEST_LOG_BYTES = 10 * 1024 * 1024

/**
 * What a server refuses to start for while another one starts, runs or goes away, or while processes of a killed one
 * are still there.
 */
const OCCUPIED =
  /lock file "[^"]+" (already exists|is empty)|pre-existing shared memory block|could not lock file/

/**
 * Starts the server and waits until it takes connections. It has a session of its own, so that Ctrl-C in the terminal
 * does not reach it, and it outlives this process if that is killed.
 * @returns its pid, or what it said when another server has the data folder or has not yet let go of it
 * @throws {EmbeddedPostgresError} it ended, or was not ready within START_TIMEOUT_MS; the message holds its log's last lines
 */
export async function startServer(server: Server): Promise<number | { readonly occupied: string }> {
  const { directory, socketDir, account, logFile } = server
  await ensureSocketDir(socketDir, directory, account)
  const log = await openLog(logFile, account)
  const logOffset = (await log.stat()).size
  // Started without a shell, as pg_ctl would: a path with a quote or a dollar sign is only a path.
  const child = spawn(server.binaries.postgres, serverArguments(server), {
    ...spawnIdentity(account),
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  const ended = endOf(child)
  child.unref()
  await log.close()
  const deadline = performance.now() + START_TIMEOUT_MS
  while (performance.now() < deadline) {
    const postmaster = await readPostmaster(directory)
    if (postmaster !== undefined && postmaster.pid === child.pid && postmaster.status === 'ready')
      return child.pid
    const reason = await Promise.race([ended, delay(POLL_MS)])
    if (reason === undefined) continue
    const output = await logSince(logFile, logOffset)
    if (OCCUPIED.test(output)) return { occupied: output }
    throw new EmbeddedPostgresError(
      `The PostgreSQL server of ${directory} did not start (${reason}). Its log, ${logFile}, ends with:\n${output}\n` +
        `Remove the reason it gives, set DATA_DIR to another folder, ${USE_DATABASE_URL}.`,
    )
  }
  throw new EmbeddedPostgresError(
    `The PostgreSQL server of ${directory} (pid ${child.pid}) was not ready after ${START_TIMEOUT_MS / 1000} s. It is left running, ` +
      `since it may be recovering from a crash: try again later. Its log, ${logFile}, ends with:\n${await logSince(logFile, logOffset)}`,
  )
}

/** @returns a promise of why the child ended */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`))
  })
}

/**
 * The server's command line. It has no TCP port, only a socket in a folder that nobody else can enter. Its log keeps what
 * the server says of itself; refused statements are told to the client, and would fill it with users' data.
 */
export function serverArguments(server: Server): string[] {
  const settings = {
    listen_addresses: '',
    port: String(SOCKET_PORT),
    // A list with commas, hence the quotes.
    unix_socket_directories: `"${server.socketDir.replaceAll('"', '""')}"`,
    log_min_messages: 'log',
    log_checkpoints: 'off',
    ...server.settings,
  }
  return [
    '-D',
    server.directory,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
}

/**
 * Whether the running server was started with the same settings.
 * @param server whose postmaster.opts, which a server writes when it starts, is compared with what it would get today
 */
export async function runsAsAsked(server: Server): Promise<boolean> {
  const written = await unlessMissing(readFile(join(server.directory, 'postmaster.opts'), 'utf8'))
  const asked = serverArguments(server).map((word) => ` "${word}"`)
  return written === undefined || written.trimEnd().endsWith(asked.join(''))
}

/**
 * Stops the server: its clients are cut off, their transactions rolled back, and all is written to disk.
 * @param pid the server's pid, as an owner's session has it
 * @throws {EmbeddedPostgresError} it was still there after STOP_TIMEOUT_MS
 */
export async function stopServer(server: Server, pid: number): Promise<void> {
  const { directory, logFile } = server
  interrupt(pid)
  const elapsed = stopwatch()
  while (await isRunning(pid)) {
    if (elapsed() > STOP_TIMEOUT_MS) {
      throw new EmbeddedPostgresError(
        `The PostgreSQL server of ${directory} (pid ${pid}) is still running ${STOP_TIMEOUT_MS / 1000} s after it was told to stop; ` +
          `see ${logFile}. The next start waits for it.`,
      )
    }
    await delay(POLL_MS)
  }
  await removeSocketDir(server.socketDir, directory)
}

/** Asks for a fast shutdown. */
function interrupt(pid: number): void {
  try {
    process.kill(pid, 'SIGINT')
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error
  }
}

/** Opens the log for appending. One that has grown large is set aside first, in the place of the one set aside before. */
async function openLog(logFile: string, account: Account | undefined): Promise<FileHandle> {
  const found = await unlessMissing(stat(logFile))
  if (found !== undefined && found.size > LARGEST_LOG_BYTES) await rename(logFile, `${logFile}.1`)
  const log = await open(logFile, 'a', 0o600)
  // So that the folder's owner can start the server after root has.
  if (account !== undefined) await log.chown(account.uid, account.gid)
  return log
}

/** The last lines that came after an offset in bytes. */
async function logSince(logFile: string, offset: number): Promise<string> {
  const log = await open(logFile, 'r')
  try {
    const { size } = await log.stat()
    const from = Math.max(offset, size - 4_096)
    if (size <= from) return ''
    const { buffer, bytesRead } = await log.read(Buffer.alloc(size - from), { position: from })
    return buffer.toString('utf8', 0, bytesRead).trim().split('\n').slice(-10).join('\n')
  } finally {
    await log.close()
  }
}
