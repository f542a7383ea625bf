import type { Accounts, AccountsLogger } from '../accounts/accounts.ts'
import type { Config } from '../config.ts'
import type { ConnectedDatabase } from '../db/connect.ts'
import { eraseData } from '../tasks/erase.ts'

/**
 * The accounts inside, or undefined when the configuration has none: nothing of them is loaded then.
 *
 * @param secrets the configured or generated ones; the first one signs
 */
export async function openConfiguredAccounts(
  { accounts, publicUrl }: Config,
  { connection, database }: Pick<ConnectedDatabase, 'connection' | 'database'>,
  secrets: readonly string[],
  logger: AccountsLogger,
): Promise<Accounts | undefined> {
  if (accounts === 'off') return undefined
  const { openAccounts } = await import('../accounts/accounts.ts')
  return openAccounts({
    connection,
    secrets,
    publicUrl,
    async onUserDeleted(userId) {
      await eraseData(database.scopeFor(userId, 'service'))
    },
    logger,
  })
}
