import { randomBytes } from 'node:crypto'
import {
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  symlink,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Account, canEnter, runTool } from './account.ts'
import type { Binaries } from './binaries.ts'
import { EmbeddedPostgresError, errorCode, USE_DATABASE_URL, unlessMissing } from './error.ts'
import { type EmitEvent, stopwatch } from './event.ts'
import { makeSystemDir, removeLeftovers, temporaryName } from './folders.ts'

/** The database of the service, in a data folder that is otherwise as initdb makes it. */
export const DATABASE = 'backend_core'

const INITDB_TIMEOUT_MS = 60_000

/**
 * Makes DATA_DIR if need be, and finds the data folder in it.
 * @param dataDir absolute path
 * @returns `link`, the path DATA_DIR/postgres, and `existing`, the data folder there without symbolic links, if there is
 *   one; an empty folder counts as none
 * @throws {EmbeddedPostgresError} what is there is no data folder, or cannot be reached
 */
export async function findCluster(dataDir: string): Promise<{ link: string; existing: string | undefined }> {
  // Root's server runs as another user, which has to pass through; it need not list the folder.
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700
  await mkdir(dataDir, { recursive: true, mode }).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error
    // Node says ENOENT of a recursive mkdir on a read-only file system, and the true reason of a plain one.
    return mkdir(dataDir, { mode })
  })
  const link = join(await realpath(dataDir), 'postgres')
  const entry = await unlessMissing(lstat(link))
  if (entry === undefined) return { link, existing: undefined }
  const existing = await unlessMissing(realpath(link))
  if (existing === undefined) {
    throw new EmbeddedPostgresError(
      `${link} points to a folder that does not exist. Bring that folder back (is its disk mounted?), or remove ${link} ` +
        'to start with an empty database.',
    )
  }
  const names = await readdir(existing)
  if (names.includes('PG_VERSION')) return { link, existing }
  if (names.length === 0 && entry.isDirectory()) return { link, existing: undefined }
  throw new EmbeddedPostgresError(
    `${existing} is not a data folder of PostgreSQL: it has no PG_VERSION. Set DATA_DIR to another folder, or move ` +
      `${link} away to start with an empty database.`,
  )
}

/**
 * Makes sure that these programs can serve this data folder.
 * @throws {EmbeddedPostgresError} it is of another major version, or the account cannot enter it
 */
export async function checkCluster(
  directory: string,
  binaries: Binaries,
  account: Account | undefined,
): Promise<void> {
  const version = (await readFile(join(directory, 'PG_VERSION'), 'utf8')).trim()
  if (version !== binaries.major) {
    throw new EmbeddedPostgresError(
      `The data in ${directory} is of PostgreSQL ${version}, and the embedded one is ${binaries.major}. Move the data with ` +
        'pg_dump and pg_restore of both versions, set DATA_DIR to another folder to start with an empty database, ' +
        `${USE_DATABASE_URL}.`,
    )
  }
  if (account !== undefined && !(await canEnter(account, directory))) {
    throw new EmbeddedPostgresError(
      `PostgreSQL runs as user ${account.name} (it refuses root), who cannot enter ${directory}. Grant search permission on ` +
        `the folders above it ("chmod o+x"), set DATA_DIR to a folder within its reach, ${USE_DATABASE_URL}.`,
    )
  }
}

export type ClusterRequest = {
  /** The path that shall lead to the data folder. Its parent exists. */
  readonly link: string
  readonly binaries: Binaries
  readonly account: Account | undefined
  readonly durable: boolean
  /** Where the data goes when the account cannot reach the parent of `link`. */
  readonly systemDir: string
  readonly emit: EmitEvent
}

/**
 * Makes a data folder with the database in it. It appears under its name at once and whole: an interrupted start leaves
 * nothing that looks like a database, and of two starts at the same time one wins.
 * @returns its absolute path without symbolic links; the winner's if this start was the slower
 * @throws {EmbeddedPostgresError} initdb failed; the message holds what it said
 */
export async function createCluster(request: ClusterRequest): Promise<string> {
  const { link, account, systemDir, emit } = request
  const elapsed = stopwatch()
  const moved = account !== undefined && !(await canEnter(account, dirname(link)))
  if (moved) await prepareSystemDir(systemDir, account, link)
  const final = moved ? join(systemDir, `postgres-${randomBytes(6).toString('hex')}`) : link
  await removeLeftovers(dirname(final), emit)
  const temporary = temporaryName(final)
  try {
    await initialise(temporary.path, request)
    // Takes the place of nothing or of an empty folder, never of one with content.
    await rename(temporary.path, final)
    if (moved) await pointTo(link, final)
  } catch (error) {
    if (moved) await rm(final, { recursive: true, force: true })
    if (!isOccupied(error)) throw error
    return await realpath(link)
  } finally {
    await rm(temporary.path, { recursive: true, force: true })
    temporary.release()
  }
  if (request.durable) for (const path of new Set([final, link])) await syncFolder(dirname(path))
  emit({ type: 'initialised', directory: final, durationMs: elapsed() })
  if (moved) emit({ type: 'moved', link, directory: final, user: account.name })
  return final
}

async function prepareSystemDir(systemDir: string, account: Account, link: string): Promise<void> {
  await makeSystemDir(systemDir).catch((cause: unknown) => {
    throw new EmbeddedPostgresError(
      `PostgreSQL runs as user ${account.name} (it refuses root), who cannot enter ${dirname(link)}, and ${systemDir} cannot ` +
        'be made for the data. Grant search permission on the folders of that path ("chmod o+x"), set DATA_DIR to a ' +
        `folder within its reach, ${USE_DATABASE_URL}.`,
      { cause },
    )
  })
}

async function pointTo(link: string, target: string): Promise<void> {
  await rmdir(link).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT' && !isOccupied(error)) throw error
  })
  await symlink(target, link)
}

/** Another start was faster. ENOTDIR is what rmdir says of a symbolic link. */
function isOccupied(error: unknown): boolean {
  return ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errorCode(error) ?? '')
}

async function initialise(directory: string, request: ClusterRequest): Promise<void> {
  const { binaries, account, durable } = request
  await mkdir(directory, { mode: 0o700 })
  if (account !== undefined) await chown(directory, account.uid, account.gid)
  // The builtin C.UTF-8 sorts by code point the same everywhere and knows é; LC_CTYPE is for what still asks libc.
  const ctype = process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8'
  const locale = [
    '--locale=C',
    `--lc-ctype=${ctype}`,
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
  ]
  // Nobody but this user can enter the folder with the socket, so the socket needs no password.
  const access = ['--username=postgres', '--auth=trust']
  const made = await runTool(
    binaries.initdb,
    [
      '-D',
      directory,
      '--encoding=UTF8',
      ...locale,
      ...access,
      '--no-instructions',
      ...(durable ? [] : ['--no-sync']),
    ],
    { account, timeoutMs: INITDB_TIMEOUT_MS },
  )
  if (made.exitCode !== 0) throw initdbFailure(`initdb failed (exit code ${made.exitCode})`, made.output)
  const created = await runTool(
    binaries.postgres,
    [
      '--single',
      '-D',
      directory,
      '-c',
      `fsync=${durable ? 'on' : 'off'}`,
      '-c',
      'log_checkpoints=off',
      'postgres',
    ],
    { account, timeoutMs: INITDB_TIMEOUT_MS, input: `create database ${DATABASE}\n` },
  )
  // The single-user server ends well even when its statements failed.
  if (created.exitCode !== 0 || /\b(ERROR|FATAL|PANIC):/.test(created.output)) {
    throw initdbFailure(`The database ${DATABASE} could not be created`, created.output)
  }
}

function initdbFailure(what: string, output: string): EmbeddedPostgresError {
  const lastLines = output.split('\n').slice(-8).join('\n')
  return new EmbeddedPostgresError(
    `${what}. Nothing was left behind; remove the reason it gives, set DATA_DIR to another folder, ${USE_DATABASE_URL}. It said:\n${lastLines}`,
  )
}

/** Makes a rename survive a power loss. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
