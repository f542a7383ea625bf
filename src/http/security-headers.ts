/**
 * What every answer says, whatever it holds: browsers must take it for what its Content-Type says, run, load, frame and
 * embed nothing of it, and send nobody its address. (Cross-Origin-Resource-Policy does not concern what CORS allows.)
 * https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers
 */
export const securityHeaders: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
}

/** What the page at /docs may load: its own scripts, styles and pictures from here, and what it tries out. */
export const docsPagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * Strict-Transport-Security, a year: only for answers that go out over https (RFC 6797 §7.2), which a trusted proxy says.
 * Other hosts of the domain are not this service's to decide on.
 */
export const strictTransport = 'max-age=31536000'
