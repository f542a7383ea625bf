import { describeWeakSecret } from './secret-strength.ts'

export type SecretList =
  | { readonly ok: true; readonly secrets: readonly string[] }
  /** What is wrong, one line for each entry; no secret is in it. */
  | { readonly ok: false; readonly problems: readonly string[] }

/**
 * Reads a list of versioned secrets as Better Auth 1.7 reads BETTER_AUTH_SECRETS: `2:new,1:old`, white space around
 * entries and secrets left aside. The first one is the current one, whatever its number. A number that Better Auth
 * would read only in part (`2x`) is refused.
 *
 * @returns the secrets in their order, each as strong as a single one must be, or what is wrong with the list
 */
export function parseSecretList(text: string): SecretList {
  const problems: string[] = []
  const versions = new Set<number>()
  const secrets = text.split(',').map((entry, index) => {
    const colon = entry.indexOf(':')
    const version = entry.slice(0, colon).trim()
    const secret = entry.slice(colon + 1).trim()
    const problem = describeBadEntry(colon, version, secret, versions)
    if (problem !== undefined) problems.push(`entry ${index + 1}: ${problem}`)
    versions.add(Number(version))
    return secret
  })
  return problems.length > 0 ? { ok: false, problems } : { ok: true, secrets }
}

function describeBadEntry(
  colon: number,
  version: string,
  secret: string,
  versions: ReadonlySet<number>,
): string | undefined {
  if (colon === -1) return 'must be a version number, a colon and a secret, such as 2:…'
  if (!/^\d{1,9}$/.test(version)) return 'the version before the colon must be a whole number, 0 or more'
  if (versions.has(Number(version))) return 'the version is there twice'
  return describeWeakSecret(secret)
}
