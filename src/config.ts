import { describeBadHttpUrl, isSafeForKeys, issuerAddress } from './auth/issuer-address.ts'
import { parseSecretList } from './auth/secret-list.ts'
import { describeWeakSecret } from './auth/secret-strength.ts'
import { OperatorError } from './errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** How one setting is read. `parse` returns the value, or throws a `Problem` that says what to write instead. */
type Setting<T> = {
  readonly name: string
  readonly default: string | undefined
  readonly description: string
  readonly parse: (text: string | undefined) => T
}

class Problem extends Error {
  readonly messages: readonly string[]

  constructor(...messages: readonly string[]) {
    super(messages.join('; '))
    this.messages = messages
  }
}

function setting<T>(
  name: string,
  fallback: string | undefined,
  parse: (text: string | undefined) => T,
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
      'must be an address such as postgres://user:password@host:5432/database?sslmode=verify-full',
    )
  }
  return text
}

function secret(text: string | undefined): string | undefined {
  const weakness = text === undefined ? undefined : describeWeakSecret(text)
  if (weakness !== undefined) throw new Problem(weakness)
  return text
}

function secretList(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  const list = parseSecretList(text)
  if (!list.ok) throw new Problem(...list.problems)
  return list.secrets
}

function baseUrl(text: string | undefined): string | undefined {
  const problem = text === undefined ? undefined : describeBadHttpUrl(text)
  if (problem !== undefined) throw new Problem(problem)
  if (text?.includes('?')) throw new Problem('must not have a ? in it')
  return text
}

const httpRule = 'http:// is only for this machine: localhost, 127.0.0.1 or [::1]'

function keysUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const problem = describeBadHttpUrl(text)
  if (problem !== undefined) throw new Problem(problem)
  if (!isSafeForKeys(text)) throw new Problem(`must begin with https:// (${httpRule})`)
  return text
}

const optional = (text: string | undefined) => text

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
    'Connections to the database that one instance opens at most.',
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
      values[key] = parse(environment[name] || fallback)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problems.push(...error.messages.map((message) => `${name}: ${message}`))
    }
  }
  // Built from the table that the type is derived from, key by key; what could not be read is undefined.
  const config = values as Settings
  problems.push(...findMissing(environment), ...findUnsafeKeys(config, environment))
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
