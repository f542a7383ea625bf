const scheme = 'bearer '

/**
 * Takes the token out of an Authorization header (RFC 6750 §2.1, RFC 9110 §11.4): the scheme in any case, one
 * space or more, the rest. The rest is handed on as it stands, white space within it included, so that a
 * damaged token is answered as an invalid one and not as a missing one.
 * @param authorization the header's value, undefined when there is none
 * @returns undefined for no header, another scheme, and a bearer with nothing behind it
 */
export function readBearerToken(authorization: string | undefined): string | undefined {
  if (authorization?.slice(0, scheme.length).toLowerCase() !== scheme) return undefined
  const token = authorization.slice(scheme.length).replace(/^ +/, '')
  return token.trim() === '' ? undefined : token
}
