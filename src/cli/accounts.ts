import type { Accounts, AccountsLogger, AccountsOptions } from '../accounts/accounts.ts'
import type { Config } from '../config.ts'
import type { ConnectedDatabase } from '../db/connect.ts'
import { eraseData } from '../tasks/erase.ts'

/**
 * The accounts inside, or undefined when the configuration has none: nothing of them is loaded then.
 *
 * @param secrets the configured or generated ones; the first one signs
 * @param createLimiter makes the limiters of the routes; buckets in memory when left out
 */
export async function openConfiguredAccounts(
  { accounts, publicUrl, corsOrigins }: Config,
  { connection, database }: Pick<ConnectedDatabase, 'connection' | 'database'>,
  secrets: readonly string[],
  logger: AccountsLogger,
  createLimiter?: AccountsOptions['createLimiter'],
): Promise<Accounts | undefined> {
  if (accounts === 'off') return undefined
  const { openAccounts } = await import('../accounts/accounts.ts')
  return openAccounts({
    connection,
    secrets,
    publicUrl,
    trustedOrigins: corsOrigins,
    ...(createLimiter !== undefined && { createLimiter }),
    async onUserDeleted(userId) {
      await eraseData(database.scopeFor(userId, 'service'))
    },
    logger,
  })
}
