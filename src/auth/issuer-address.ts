/** Better Auth's default for basePath. */
const defaultPath = '/api/auth'

export type IssuerAddress = {
  /** What Better Auth writes as `iss` and `aud`. */
  readonly origin: string
  /** Where its keys are. */
  readonly jwksUrl: string
}

/**
 * Where an issuer is known to be, from its base URL, as Better Auth 1.7 reads BETTER_AUTH_URL: tokens name the origin
 * alone; its routes are below the path, or below /api/auth when there is none.
 *
 * @param baseUrl a URL
 */
export function issuerAddress(baseUrl: string): IssuerAddress {
  const { origin, pathname } = new URL(baseUrl)
  const path = pathname.replace(/\/+$/, '')
  return { origin, jwksUrl: `${origin}${path === '' ? defaultPath : path}/jwks` }
}

/**
 * Says what keeps a text from being the address of a web server.
 *
 * @returns undefined when it is one; else what to write instead, without the text
 */
export function describeBadHttpUrl(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null || !/^https?:\/\//i.test(text)) return 'must be an address such as https://app.example.com'
  if (url.username !== '' || url.password !== '') return 'must not have a user name or password in it'
  if (/[\s#]/.test(text)) return 'must not have white space or a # in it'
  return undefined
}

/**
 * Whether keys may be fetched from there: over http anybody on the way could put their own key in, unless the way does
 * not leave this machine.
 *
 * @param url an http or https URL
 */
export function isSafeForKeys(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' || /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}
