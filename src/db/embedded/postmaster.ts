import { execFile } from 'node:child_process'
import { readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { errorCode, unlessMissing } from './error.ts'

/** What a server says about itself in postmaster.pid. `status` is "starting", "ready", "stopping" or "standby". */
export type Postmaster = {
  readonly pid: number
  readonly port: number
  readonly socketDir: string
  readonly status: string
}

/** The port number in the name of the socket. There is no TCP port: it only has to be the same on both sides. */
export const SOCKET_PORT = 5432

/**
 * Reads postmaster.pid, which a running server keeps in its data folder.
 * https://www.postgresql.org/docs/18/storage-file-layout.html
 * @param directory absolute path of the data folder
 * @returns undefined when there is no such file, or not yet a pid in it
 */
export async function readPostmaster(directory: string): Promise<Postmaster | undefined> {
  const content = await unlessMissing(readFile(pidFile(directory), 'utf8'))
  const lines = content?.split('\n').map((line) => line.trim()) ?? []
  const [pid = '', , , port = '', socketDir = '', , , status = ''] = lines
  // A single-user server (PostgreSQL's repair mode) writes its pid as a negative number.
  if (!/^-?\d+$/.test(pid)) return undefined
  return {
    pid: Math.abs(Number(pid)),
    port: Number(port) || SOCKET_PORT,
    socketDir: socketDir || directory,
    status,
  }
}

/**
 * Makes a postmaster.pid that names a foreign process harmless: after a power loss its pid may belong to anyone, and
 * PostgreSQL refuses to start while such a process of its user runs. The file then names this process, since PostgreSQL
 * ignores the pid of its parent; removing the file would also skip its check that no process of the former server is
 * still attached to the shared memory.
 * @param directory absolute path of the data folder
 */
export async function disownPidFile(directory: string): Promise<void> {
  const content = await readFile(pidFile(directory), 'utf8')
  await writeFile(pidFile(directory), content.replace(/^.*/, String(process.pid)))
}

function pidFile(directory: string): string {
  return join(directory, 'postmaster.pid')
}

/** Whether a process with this pid exists, of any user. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

/** Whether a process runs: unlike isAlive, not for one that has ended and is not collected (no init in a container). */
export async function isRunning(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false
  if (process.platform !== 'linux') return true
  const status = await unlessMissing(readFile(`/proc/${pid}/stat`, 'utf8'))
  // The state follows the name, which is in parentheses and may hold any sign.
  return status !== undefined && !/\) [ZX] [^)]*$/.test(status)
}

/**
 * Tells whose a pid in postmaster.pid is.
 * @param pid what the file says
 * @param directory absolute path of the data folder, without symbolic links
 * @returns "server" for the server of this folder, or one that might be; "foreign" for a process that surely is not;
 *   "gone" when there is none
 */
export async function identify(pid: number, directory: string): Promise<'server' | 'foreign' | 'gone'> {
  if (!isAlive(pid)) return 'gone'
  // A server works in its data folder.
  const workingDir = await readlink(`/proc/${pid}/cwd`).catch((error: unknown) => {
    // A container may forbid even root to see that of another user's process; macOS has no /proc.
    if (['EACCES', 'EPERM', 'ENOENT', 'ESRCH'].includes(errorCode(error) ?? '')) return undefined
    throw error
  })
  if (workingDir !== undefined) return workingDir === directory ? 'server' : 'foreign'
  const command = await commandLine(pid)
  if (command === undefined) return 'gone'
  // Another PostgreSQL cannot be told apart for sure by its title alone, and two servers would ruin the data.
  return /postgres|postmaster/.test(command) ? 'server' : 'foreign'
}

/** The words of a process's command line, joined by spaces; empty for one that has ended but is not yet collected. */
async function commandLine(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const words = await unlessMissing(readFile(`/proc/${pid}/cmdline`, 'utf8'))
    return words?.replaceAll('\0', ' ')
  }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)]).catch(
    (error: unknown) => {
      // ps exits with 1 when there is no such process.
      if (isAlive(pid)) throw error
      return { stdout: undefined }
    },
  )
  return stdout
}
