import { createHash } from 'node:crypto'
import { chown, lstat, mkdir, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Account, canEnter } from './account.ts'
import { EmbeddedPostgresError, errorCode } from './error.ts'
import { SOCKET_PORT } from './postmaster.ts'

/** The longest path of a Unix socket, in bytes, without the NUL at its end. */
const longestSocketPath = process.platform === 'darwin' ? 103 : 107

function fits(directory: string): boolean {
  return Buffer.byteLength(join(directory, `.s.PGSQL.${SOCKET_PORT}`)) <= longestSocketPath
}

/**
 * Chooses the folder of the server's socket: the data folder, which only the server's user can enter, or one like it
 * among the temporary files when the path would be too long for a socket.
 * @param directory absolute path of the data folder
 * @param account the user that runs the server; undefined for the user of this process
 * @returns an absolute path; the same for the same data folder
 */
export async function chooseSocketDir(directory: string, account: Account | undefined): Promise<string> {
  if (fits(directory)) return directory
  const name = `backend-core-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`
  const usable = fits(join(tmpdir(), name)) && (account === undefined || (await canEnter(account, tmpdir())))
  return join(usable ? tmpdir() : '/tmp', name)
}

/**
 * Makes the socket's folder if it is not the data folder.
 * @throws {EmbeddedPostgresError} somebody else made it: anyone may write among the temporary files
 */
export async function ensureSocketDir(
  socketDir: string,
  directory: string,
  account: Account | undefined,
): Promise<void> {
  if (socketDir === directory) return
  const uid = account?.uid ?? process.getuid?.()
  try {
    await mkdir(socketDir, { mode: 0o700 })
    if (account !== undefined) await chown(socketDir, account.uid, account.gid)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
    const found = await lstat(socketDir)
    if (found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0) return
    throw new EmbeddedPostgresError(
      `${socketDir}, the folder for the socket of the database in ${directory}, was made by somebody else or is open to ` +
        'others. Remove it, or set DATA_DIR to a shorter path.',
      { cause: error },
    )
  }
}

/** Removes the socket's folder of a stopped server, if it is not the data folder. */
export async function removeSocketDir(socketDir: string, directory: string): Promise<void> {
  if (socketDir === directory) return
  await rmdir(socketDir).catch((error: unknown) => {
    // The next server may have put its socket there already.
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTEMPTY') throw error
  })
}
