import { isSafeForKeys, issuerAddress } from './auth/issuer-address.ts'
import { OperatorError } from './errors.ts'
import {
  accounts,
  baseUrl,
  type Environment,
  httpRule,
  integer,
  keysUrl,
  nonEmpty,
  oneOf,
  optional,
  optionalPort,
  origin,
  origins,
  Problem,
  postgresUrl,
  proxies,
  redisUrl,
  type Setting,
  secret,
  secretList,
  setting,
} from './setting.ts'

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
    'HS256 key that signs the tokens: at least 32 bytes and 8 different characters, no well-known value. Required when NODE_ENV is production and there is no issuer; unset elsewhere without an issuer: generated once and kept in DATA_DIR.',
  ),
  secrets: setting(
    'BETTER_AUTH_SECRETS',
    undefined,
    secretList,
    'HS256 keys by version, `2:new,1:old`, to change the key without making tokens invalid: the first one signs, all of them and BETTER_AUTH_SECRET verify.',
  ),
  betterAuthUrl: setting(
    'BETTER_AUTH_URL',
    undefined,
    baseUrl,
    'Base URL of the issuer, a Better Auth front end with the jwt plugin: its tokens are accepted, checked with its keys. Unset, like JWKS_URL: no issuer.',
  ),
  jwksUrl: setting(
    'JWKS_URL',
    undefined,
    keysUrl,
    'Where the keys of the issuer are, if not at `/api/auth/jwks` below BETTER_AUTH_URL (`/jwks` if that has a path). https, or http on this machine.',
  ),
  jwtIssuer: setting(
    'JWT_ISSUER',
    undefined,
    optional,
    "The exact `iss` of the issuer's tokens, if not the origin of BETTER_AUTH_URL.",
  ),
  jwtAudience: setting(
    'JWT_AUDIENCE',
    undefined,
    optional,
    "The exact `aud` of the issuer's tokens, if not the origin of BETTER_AUTH_URL.",
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
  corsOrigins: setting(
    'CORS_ORIGINS',
    undefined,
    origins,
    'Origins of front ends elsewhere whose pages may call the service, separated by commas: https://app.example.com. Unset: none.',
  ),
  trustProxy: setting(
    'TRUST_PROXY',
    undefined,
    proxies,
    'Whose X-Forwarded-For and X-Forwarded-Proto are believed: the addresses of the proxies in front (IP, CIDR, `loopback`, `linklocal`, `uniquelocal`), separated by commas, or how many there are, where nobody can go around them. Unset: nobody.',
  ),
  rateLimitPerMinute: setting(
    'RATE_LIMIT_PER_MINUTE',
    '1200',
    integer(0, 1_000_000),
    'Requests of a user in a minute, and tokens from one address that are refused; 0 turns both limits off.',
  ),
  rateLimitRedisUrl: setting(
    'RATE_LIMIT_REDIS_URL',
    undefined,
    redisUrl,
    'Redis 6 or later, or Valkey, in which all instances count requests together: redis://user:password@host:6379/0, rediss:// with TLS. Unset: each instance counts by itself.',
  ),
  workers: setting(
    'WORKERS',
    '1',
    integer(1, 64),
    'Processes that serve together, on one port and as one instance: one for each core. DATABASE_POOL_MAX and MAX_CONNECTIONS are shared out among them.',
  ),
  databasePoolMax: setting(
    'DATABASE_POOL_MAX',
    '10',
    integer(1, 1000),
    'Connections to the database that one instance opens at most, of which one is a spare from 3 on; accounts inside open up to 4 more.',
  ),
  maxConnections: setting(
    'MAX_CONNECTIONS',
    '16384',
    integer(10, 1_000_000),
    'Connections of clients that one instance keeps open at most, streams included; each takes about 22 kB and a file descriptor (`ulimit -n`).',
  ),
  trashRetentionDays: setting(
    'TRASH_RETENTION_DAYS',
    '30',
    integer(1, 36_500),
    'Days of 24 hours that a deleted task stays in the trash; then it is removed for good.',
  ),
  metricsPort: setting(
    'METRICS_PORT',
    undefined,
    optionalPort,
    'TCP port of HOST on which operators read `GET /metrics`, the text format of Prometheus, without a token; 0 asks the system for a free one. Unset: nothing is counted.',
  ),
  shutdownTimeoutMs: setting(
    'SHUTDOWN_TIMEOUT_MS',
    '10000',
    integer(0, 600_000),
    'Milliseconds that open requests have to finish after SIGTERM or Ctrl-C.',
  ),
  shutdownDelayMs: setting(
    'SHUTDOWN_DELAY_MS',
    '1000',
    integer(0, 600_000),
    'Milliseconds after SIGTERM in which it serves on while /ready is 503, so that load balancers send no more; they are part of SHUTDOWN_TIMEOUT_MS and end with it. Longer than the time between two of their health checks.',
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
    'With production, a secret or an issuer must be given and the start-up hints are left out.',
  ),
} as const

type Settings = {
  readonly [K in keyof typeof settings]: (typeof settings)[K] extends Setting<infer T> ? T : never
}

/** Where the keys of an issuer are, and what its tokens must name. */
export type IssuerConfig = { readonly jwksUrl: string; readonly issuer: string; readonly audience: string }

export type Config = Settings & {
  /** Put together from BETTER_AUTH_URL, JWKS_URL, JWT_ISSUER and JWT_AUDIENCE; undefined when there is none. */
  readonly issuer: IssuerConfig | undefined
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
  const values: Record<string, unknown> = {}
  for (const [key, { name, default: fallback, parse }] of Object.entries(settings)) {
    try {
      values[key] = parse(environment[name] || fallback, environment)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problems.push(...error.messages.map((message) => `${name}: ${message}`))
    }
  }
  // Built from the table that the type is derived from, key by key; what could not be read is undefined.
  const config = values as Settings
  problems.push(...findMissing(environment), ...findUnsafeKeys(config, environment))
  problems.push(...findAccountsProblems(environment), ...findSharedPort(config), ...findTooFew(config))
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze({ ...config, issuer: readIssuer(config) })
}

/** Looks at what is set, be it good or not: a setting that is there and wrong is not missing as well. */
function findMissing(environment: Environment): string[] {
  const isSet = (name: string) => Boolean(environment[name])
  const hasIssuer = isSet('BETTER_AUTH_URL') || isSet('JWKS_URL')
  const hasSecret = isSet('BETTER_AUTH_SECRET') || isSet('BETTER_AUTH_SECRETS')
  const missing: string[] = []
  if (environment.NODE_ENV === 'production' && !hasSecret && !hasIssuer) {
    missing.push(
      'BETTER_AUTH_SECRET: must be set when NODE_ENV is production and there is no issuer (BETTER_AUTH_URL); make one with: openssl rand -base64 32',
    )
  }
  for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE']) {
    if (!hasIssuer && isSet(name)) missing.push(`${name}: does nothing without BETTER_AUTH_URL or JWKS_URL`)
    if (isSet('JWKS_URL') && !isSet('BETTER_AUTH_URL') && !isSet(name)) {
      missing.push(`${name}: must be set when JWKS_URL is, unless BETTER_AUTH_URL is too`)
    }
  }
  return missing
}

function findUnsafeKeys({ betterAuthUrl }: Settings, environment: Environment): string[] {
  if (betterAuthUrl === undefined || environment.JWKS_URL) return []
  if (isSafeForKeys(issuerAddress(betterAuthUrl).jwksUrl)) return []
  return [`BETTER_AUTH_URL: must begin with https:// (${httpRule}), or JWKS_URL must say where the keys are`]
}

function readIssuer({ betterAuthUrl, jwksUrl, jwtIssuer, jwtAudience }: Settings): IssuerConfig | undefined {
  const address = betterAuthUrl === undefined ? undefined : issuerAddress(betterAuthUrl)
  const keys = jwksUrl ?? address?.jwksUrl
  const [issuer, audience] = [jwtIssuer ?? address?.origin, jwtAudience ?? address?.origin]
  if (keys === undefined || issuer === undefined || audience === undefined) return undefined
  return { jwksUrl: keys, issuer, audience }
}

/** Two servers cannot listen on one port, unless the system chooses it. */
function findSharedPort({ port, metricsPort }: Settings): string[] {
  if (metricsPort === undefined || metricsPort === 0 || metricsPort !== port) return []
  return ['METRICS_PORT: must be another port than PORT']
}

/** Each worker needs a share. */
function findTooFew({ workers, databasePoolMax, maxConnections }: Settings): string[] {
  const shared = { DATABASE_POOL_MAX: databasePoolMax, MAX_CONNECTIONS: maxConnections }
  return Object.entries(shared)
    .filter(([, count]) => count < workers)
    .map(([name]) => `${name}: must be at least WORKERS, as it is shared out among them`)
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
