import { spawn } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { EmbeddedPostgresError, errorCode, USE_DATABASE_URL } from './error.ts'

/** The unprivileged user that runs PostgreSQL when the service runs as root, which PostgreSQL refuses. */
export type Account = { readonly name: string; readonly uid: number; readonly gid: number }

/** What a tool did. `output` is what it wrote to stdout and stderr, trimmed. */
export type ToolResult = { readonly exitCode: number | null; readonly output: string }

/**
 * Nothing of the service's environment reaches the server (it holds secrets), and nothing there can change the
 * server's behaviour: LD_LIBRARY_PATH, PGDATA, PGOPTIONS. LC_ALL=C exists everywhere, and logs in English.
 */
export const serverEnvironment = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } as const

/**
 * Tells which user has to run the server.
 * @param existing the data folder, if there is one: its owner is the only user PostgreSQL accepts
 * @returns undefined to run it as the user of this process
 * @throws {EmbeddedPostgresError} the folder belongs to root, or to another user and this process is not root
 */
export async function serverAccount(existing: string | undefined): Promise<Account | undefined> {
  const uid = process.getuid?.()
  const owner = existing === undefined ? undefined : await stat(existing)
  if (uid !== 0) {
    if (owner === undefined || owner.uid === uid) return undefined
    throw new EmbeddedPostgresError(
      `The data folder ${existing} belongs to user ${owner.uid}, and the service runs as user ${uid}. Run it as that ` +
        `user, give the folder away with "chown -R ${uid} ${existing}", set another DATA_DIR, ${USE_DATABASE_URL}.`,
    )
  }
  const accounts = await readAccounts()
  if (owner === undefined) {
    return (
      accounts.find(({ name }) => name === 'postgres') ??
      accounts.find(({ name }) => name === 'nobody') ??
      noAccount()
    )
  }
  if (owner.uid !== 0) {
    return (
      accounts.find((account) => account.uid === owner.uid) ?? {
        name: `uid ${owner.uid}`,
        uid: owner.uid,
        gid: owner.gid,
      }
    )
  }
  throw new EmbeddedPostgresError(
    `The data folder ${existing} belongs to root, and PostgreSQL refuses to run as root. Give it to the user that shall ` +
      `run PostgreSQL ("chown -R postgres ${existing}"), remove it to start with an empty database, ${USE_DATABASE_URL}.`,
  )
}

function noAccount(): never {
  throw new EmbeddedPostgresError(
    'PostgreSQL refuses to run as root, and /etc/passwd has neither a user "postgres" nor "nobody" to run it as. ' +
      `Run the service as an ordinary user, ${USE_DATABASE_URL}.`,
  )
}

async function readAccounts(): Promise<Account[]> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n')
  return lines.flatMap((line) => {
    const [name, , uid, gid] = line.split(':')
    return name && uid && gid ? [{ name, uid: Number(uid), gid: Number(gid) }] : []
  })
}

/** Whether the user can enter the folder. Tried for real, since access lists and mounts decide too, not only the mode. */
export async function canEnter(account: Account, directory: string): Promise<boolean> {
  const { exitCode } = await runTool('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], {
    account,
    timeoutMs: 10_000,
  })
  return exitCode === 0
}

/**
 * Runs a program to its end, with a minimal environment, in the root folder (which any user can enter).
 * @param options.account the user to run it as; undefined for the user of this process
 * @param options.timeoutMs milliseconds after which it is killed
 * @param options.input what it reads on stdin
 * @throws {EmbeddedPostgresError} it took too long
 * @throws {Error} it could not be started, with the system's code
 */
export function runTool(
  file: string,
  args: readonly string[],
  options: { readonly account: Account | undefined; readonly timeoutMs: number; readonly input?: string },
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...spawnIdentity(options.account), stdio: ['pipe', 'pipe', 'pipe'] })
    let output = ''
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, options.timeoutMs)
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (exitCode) => {
      clearTimeout(timer)
      if (timedOut)
        reject(
          new EmbeddedPostgresError(`${file} was not done after ${options.timeoutMs} ms; it said: ${output}`),
        )
      else resolve({ exitCode, output: output.trim() })
    })
    // A program that fails before it reads closes the pipe: its exit code and output tell more than EPIPE does.
    child.stdin.on('error', (error) => {
      if (errorCode(error) !== 'EPIPE') reject(error)
    })
    child.stdin.end(options.input ?? '')
  })
}

/** The spawn options that make a child run as the account with the minimal environment. */
export function spawnIdentity(account: Account | undefined): {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly uid?: number
  readonly gid?: number
} {
  const base = { cwd: '/', env: serverEnvironment }
  return account === undefined ? base : { ...base, uid: account.uid, gid: account.gid }
}
