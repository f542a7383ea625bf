import { describeWeakSecret } from './auth/secret-strength.ts'
import { OperatorError } from './errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** How one setting is read. `parse` returns the value, or throws a `Problem` that says what to write instead. */
type Setting<T> = {
  readonly name: string
  readonly default: string | undefined
  readonly description: string
  readonly parse: (text: string | undefined, environment: Environment) => T
}

class Problem extends Error {}

function setting<T>(
  name: string,
  fallback: string | undefined,
  parse: Setting<T>['parse'],
  description: string,
): Setting<T> {
  return { name, default: fallback, description, parse }
}

const integer = (min: number, max: number) => (text: string | undefined) => {
  const value = /^\d{1,10}$/.test(text ?? '') ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) throw new Problem(`must be a whole number from ${min} to ${max}`)
  return value
}

const oneOf =
  <const T extends string>(...values: T[]) =>
  (text: string | undefined) => {
    const value = values.find((each) => each === text)
    if (value === undefined) throw new Problem(`must be one of ${values.join(', ')}`)
    return value
  }

const nonEmpty = (text: string | undefined) => text ?? ''

function postgresUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text)) {
    throw new Problem(
      'must be an address such as postgres://user:password@host:5432/database?sslmode=require',
    )
  }
  return text
}

function secret(text: string | undefined): string | undefined {
  const weakness = text === undefined ? undefined : describeWeakSecret(text)
  if (weakness !== undefined) throw new Problem(weakness)
  return text
}

/** An origin (RFC 6454 §4): scheme, host and port. */
function origin(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = /^https?:\/\/[^/]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.href !== `${url.origin}/`) {
    throw new Problem('must be an address without a path, such as https://tasks.example.com')
  }
  return url.origin
}

/** Whoever has one of these has accounts elsewhere. */
const tokenSources = ['BETTER_AUTH_SECRET', 'BETTER_AUTH_SECRETS', 'BETTER_AUTH_URL', 'JWKS_URL']

function accounts(text: string | undefined, environment: Environment): 'inside' | 'off' {
  if (text !== undefined) return oneOf('inside', 'off')(text)
  return tokenSources.some((name) => environment[name]) ? 'off' : 'inside'
}

/** Every setting of the service. docs/configuration.md is made from this table. */
export const settings = {
  port: setting(
    'PORT',
    '8000',
    integer(0, 65535),
    'TCP port to listen on; 0 asks the system for a free one.',
  ),
  host: setting('HOST', '127.0.0.1', nonEmpty, 'Address to listen on; 0.0.0.0 in the container image.'),
  databaseUrl: setting(
    'DATABASE_URL',
    undefined,
    postgresUrl,
    'PostgreSQL 15 or later, with TLS as its `sslmode` says. Unset: an embedded PostgreSQL 18 in DATA_DIR.',
  ),
  dataDir: setting(
    'DATA_DIR',
    '.data',
    nonEmpty,
    'Folder of the embedded database and, outside production, of the generated secret.',
  ),
  secret: setting(
    'BETTER_AUTH_SECRET',
    undefined,
    secret,
    'HS256 key that signs the tokens: at least 32 bytes and 8 different characters, no well-known value. Required when NODE_ENV is production; unset elsewhere: generated once and kept in DATA_DIR.',
  ),
  accounts: setting(
    'ACCOUNTS',
    undefined,
    accounts,
    '`inside`: the service issues accounts itself, under /api/auth. `off`: others do. Unset: inside where neither a secret nor an issuer of tokens is configured, else off.',
  ),
  publicUrl: setting(
    'PUBLIC_URL',
    undefined,
    origin,
    'Origin at which browsers reach accounts inside, such as https://tasks.example.com; issuer and audience of their tokens. Required for accounts inside when NODE_ENV is production; unset elsewhere: the loopback addresses of PORT.',
  ),
  clockToleranceS: setting(
    'JWT_CLOCK_TOLERANCE_S',
    '5',
    integer(0, 300),
    'Seconds by which the clocks of the token issuer and this service may differ.',
  ),
  databasePoolMax: setting(
    'DATABASE_POOL_MAX',
    '10',
    integer(1, 1000),
    'Connections to the database that one instance opens at most; accounts inside open up to 4 more.',
  ),
  shutdownTimeoutMs: setting(
    'SHUTDOWN_TIMEOUT_MS',
    '10000',
    integer(0, 600_000),
    'Milliseconds that open requests have to finish after SIGTERM or Ctrl-C.',
  ),
  logLevel: setting(
    'LOG_LEVEL',
    'info',
    oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'Least level that is logged.',
  ),
  nodeEnv: setting(
    'NODE_ENV',
    'development',
    oneOf('development', 'test', 'production'),
    'With production, a secret must be given and the start-up hints are left out.',
  ),
} as const

export type Config = {
  readonly [K in keyof typeof settings]: (typeof settings)[K] extends Setting<infer T> ? T : never
}

/** The environment cannot be used. The message has one line for each problem and never holds a value. */
export class ConfigError extends OperatorError {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(
      `The configuration cannot be used (${problems.length} problem${problems.length === 1 ? '' : 's'}):\n${problems.map((each) => `  - ${each}`).join('\n')}`,
    )
    this.problems = problems
  }
}

/**
 * Reads the configuration from environment variables. An empty variable counts as unset.
 *
 * @returns the frozen configuration
 * @throws ConfigError with all problems at once
 */
export function loadConfig(environment: Environment): Config {
  const problems: string[] = []
  const config: Record<string, unknown> = {}
  for (const [key, { name, default: fallback, parse }] of Object.entries(settings)) {
    try {
      config[key] = parse(environment[name] || fallback, environment)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problems.push(`${name}: ${error.message}`)
    }
  }
  if (config.nodeEnv === 'production' && !environment.BETTER_AUTH_SECRET) {
    problems.push(
      'BETTER_AUTH_SECRET: must be set when NODE_ENV is production; make one with: openssl rand -base64 32',
    )
  }
  problems.push(...findAccountsProblems(environment))
  if (problems.length > 0) throw new ConfigError(problems)
  // Built from the table that the type is derived from, key by key.
  return Object.freeze(config) as Config
}

/** Accounts are inside by default only where nothing speaks against it; asked for, they may lack something. */
function findAccountsProblems(environment: Environment): string[] {
  if (environment.ACCOUNTS !== 'inside') return []
  const problems: string[] = []
  if (environment.BETTER_AUTH_URL || environment.JWKS_URL) {
    problems.push(
      'ACCOUNTS: cannot be inside beside an issuer elsewhere; unset BETTER_AUTH_URL and JWKS_URL, or set it to off',
    )
  }
  if (environment.NODE_ENV === 'production' && !environment.PUBLIC_URL) {
    problems.push(
      'PUBLIC_URL: must be set for accounts inside when NODE_ENV is production, to the address that browsers use',
    )
  }
  return problems
}
