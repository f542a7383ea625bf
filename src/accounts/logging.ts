import { AsyncLocalStorage } from 'node:async_hooks'

/** The part of the service's logger that accounts use. */
export type AccountsLogger = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** The logger of the request under way, whose lines carry its id. */
const current = new AsyncLocalStorage<AccountsLogger>()

/** Runs work of Better Auth whose lines are to go to this logger. */
export function logTo<T>(logger: AccountsLogger, work: () => T): T {
  return current.run(logger, work)
}

/**
 * Better Auth's logger, as an option for it. What it says may quote an address, a token, an origin: only the constant
 * beginning of a message is kept, and of an error what kind it is and where it came from. What a request did wrong is
 * no error of the service, whatever level Better Auth gives it.
 */
export function betterAuthLogger(fallback: AccountsLogger) {
  return {
    // Below it, Better Auth writes what was sent: the address of a sign-up that exists, lists of origins.
    level: 'warn',
    log(level: 'debug' | 'info' | 'warn' | 'error', message: unknown, ...args: unknown[]) {
      const error = [message, ...args].find((each) => each instanceof Error)
      const text = `accounts: ${typeof message === 'string' ? constantPart(message) : 'failed'}`
      const requestLogger = current.getStore()
      if (error !== undefined) (requestLogger ?? fallback)[level]({ err: describeError(error) }, text)
      else if (requestLogger !== undefined) requestLogger.info({}, text)
      else fallback[level]({}, text)
    },
  } as const
}

/** An error for the log without anything that a client may have sent: PostgreSQL, too, quotes values in messages. */
export function describeError(error: Error): object {
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {}
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? []
  return { type: error.name, ...code, message: constantPart(error.message), stack: frames.join('\n') }
}

/** The words before the first sign behind which a value may stand; a word with an @ is one. */
function constantPart(message: string): string {
  const [words = ''] = message.split(/[:"'`([{=\d\n]|\S+@/, 1)
  return words.trim().slice(0, 200) || 'failed'
}
