/**
 * A request target without scheme and authority: a client may send the absolute form to any server (RFC 9112
 * §3.2.2), and it names the same path as the origin form.
 */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
  return path.startsWith('/') ? path : `/${path}`
}
