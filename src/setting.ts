import { isIP } from 'node:net'
import { describeBadHttpUrl, isSafeForKeys } from './auth/issuer-address.ts'
import { parseSecretList } from './auth/secret-list.ts'
import { describeWeakSecret } from './auth/secret-strength.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** How one setting is read. `parse` returns the value, or throws a `Problem` that says what to write instead. */
export type Setting<T> = {
  readonly name: string
  readonly default: string | undefined
  readonly description: string
  readonly parse: (text: string | undefined, environment: Environment) => T
}

/** What is wrong with a value, one message for each thing, without the value itself. */
export class Problem extends Error {
  readonly messages: readonly string[]

  constructor(...messages: readonly string[]) {
    super(messages.join('; '))
    this.messages = messages
  }
}

/** One row of the table of settings. */
export function setting<T>(
  name: string,
  fallback: string | undefined,
  parse: Setting<T>['parse'],
  description: string,
): Setting<T> {
  return { name, default: fallback, description, parse }
}

export const integer = (min: number, max: number) => (text: string | undefined) => {
  const value = /^\d{1,10}$/.test(text ?? '') ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) throw new Problem(`must be a whole number from ${min} to ${max}`)
  return value
}

/** A TCP port, 0 for any that is free; undefined when unset. */
export function optionalPort(text: string | undefined): number | undefined {
  return text === undefined ? undefined : integer(0, 65_535)(text)
}

export const oneOf =
  <const T extends string>(...values: T[]) =>
  (text: string | undefined) => {
    const value = values.find((each) => each === text)
    if (value === undefined) throw new Problem(`must be one of ${values.join(', ')}`)
    return value
  }

export const nonEmpty = (text: string | undefined) => text ?? ''

export function postgresUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text)) {
    throw new Problem(
      'must be an address such as postgres://user:password@host:5432/database?sslmode=verify-full',
    )
  }
  // pg would look for one host of that name, for ever.
  if (new URL(text).host.includes(','))
    throw new Problem('must name one host, such as a name that always leads to the primary')
  return text
}

export function secret(text: string | undefined): string | undefined {
  const weakness = text === undefined ? undefined : describeWeakSecret(text)
  if (weakness !== undefined) throw new Problem(weakness)
  return text
}

export function secretList(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  const list = parseSecretList(text)
  if (!list.ok) throw new Problem(...list.problems)
  return list.secrets
}

export function baseUrl(text: string | undefined): string | undefined {
  const problem = text === undefined ? undefined : describeBadHttpUrl(text)
  if (problem !== undefined) throw new Problem(problem)
  if (text?.includes('?')) throw new Problem('must not have a ? in it')
  return text
}

export const httpRule = 'http:// is only for this machine: localhost, 127.0.0.1 or [::1]'

export function keysUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const problem = describeBadHttpUrl(text)
  if (problem !== undefined) throw new Problem(problem)
  if (!isSafeForKeys(text)) throw new Problem(`must begin with https:// (${httpRule})`)
  return text
}

export const optional = (text: string | undefined) => text

/** An origin (RFC 6454 §4): scheme, host and port. */
export function origin(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = /^https?:\/\/[^/]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.href !== `${url.origin}/`) {
    throw new Problem('must be an address without a path, such as https://tasks.example.com')
  }
  return url.origin
}

/** Origins separated by commas. Each is an exact one: Better Auth would take a * for a pattern. */
export function origins(text: string | undefined): readonly string[] {
  const found = new Set<string>()
  const problems: string[] = []
  for (const [index, entry] of text?.split(',').entries() ?? []) {
    try {
      if (entry.includes('*')) throw new Problem('has a *: name each origin that may call the service')
      if (entry.trim() === '') throw new Problem('is empty')
      found.add(origin(entry.trim()) ?? '')
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problems.push(`entry ${index + 1} ${error.message}`)
    }
  }
  if (problems.length > 0) throw new Problem(...problems)
  return [...found]
}

const maxHops = 16

/** A number of proxies, or the addresses of them. */
export function proxies(text: string | undefined): number | readonly string[] | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return integer(1, maxHops)(text)
  const entries = text.split(',').map((each) => each.trim())
  const problems = entries.flatMap((each, index) =>
    isAddressRange(each)
      ? []
      : [
          `entry ${index + 1} must be an IP address, a range such as 10.0.0.0/8, or loopback, linklocal or uniquelocal; or give the number of proxies alone, 1 to ${maxHops}`,
        ],
  )
  if (problems.length > 0) throw new Problem(...problems)
  return entries
}

function isAddressRange(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || address.includes('%') || rest.length > 0) return false
  // A prefix of 0 would believe everybody.
  return (
    prefix === undefined || (/^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128))
  )
}

export function redisUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = /^rediss?:\/\/[^/]/.test(text) ? URL.parse(text) : null
  if (url === null || !/^\/?\d*$/.test(url.pathname) || url.search !== '' || url.hash !== '') {
    throw new Problem('must be an address such as redis://user:password@host:6379/0, or rediss:// for TLS')
  }
  return text
}

/** Whoever has one of these has accounts elsewhere. */
const tokenSources = ['BETTER_AUTH_SECRET', 'BETTER_AUTH_SECRETS', 'BETTER_AUTH_URL', 'JWKS_URL']

export function accounts(text: string | undefined, environment: Environment): 'inside' | 'off' {
  if (text !== undefined) return oneOf('inside', 'off')(text)
  return tokenSources.some((name) => environment[name]) ? 'off' : 'inside'
}
