/**
 * A request target without scheme and authority: a client may send the absolute form to any server (RFC 9112
 * §3.2.2), and it names the same path as the origin form.
 */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
  return path.startsWith('/') ? path : `/${path}`
}

/** Whether a target is under /api, however it is spelled. */
export function isApiTarget(target: string): boolean {
  if (target.startsWith('/api/')) return true
  const [, first = ''] = originForm(target).split(/[/?]/, 2)
  try {
    return decodeURIComponent(first) === 'api'
  } catch {
    return false
  }
}
