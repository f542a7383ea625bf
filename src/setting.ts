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

/** Whoever has one of these has accounts elsewhere. */
const tokenSources = ['BETTER_AUTH_SECRET', 'BETTER_AUTH_SECRETS', 'BETTER_AUTH_URL', 'JWKS_URL']

export function accounts(text: string | undefined, environment: Environment): 'inside' | 'off' {
  if (text !== undefined) return oneOf('inside', 'off')(text)
  return tokenSources.some((name) => environment[name]) ? 'off' : 'inside'
}
