import { developmentSecret } from './development-secret.ts'

/** The settings that say which secrets there are. */
export type SecretSettings = {
  readonly secret: string | undefined
  readonly secrets: readonly string[]
  readonly issuer: object | undefined
  readonly dataDir: string
}

/**
 * The secrets that tokens are verified with; the first one signs. Where no secret is configured and no issuer is
 * either, it is the one that is kept in the data folder.
 *
 * BETTER_AUTH_SECRET comes after the list: with a list, Better Auth signs with its first entry, and the single secret
 * is the one from before there was a list.
 *
 * @returns without duplicates; empty where only an issuer is configured
 * @throws OperatorError when the data folder's secret cannot be used
 */
export function configuredSecrets({ secret, secrets, issuer, dataDir }: SecretSettings): readonly string[] {
  const configured = new Set(secret === undefined ? secrets : [...secrets, secret])
  if (configured.size === 0 && issuer === undefined) return [developmentSecret(dataDir)]
  return [...configured]
}
