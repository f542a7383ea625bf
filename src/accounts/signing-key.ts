import type pg from 'pg'
import type { BetterAuth } from './better-auth.ts'
import { type AccountsLogger, describeError } from './logging.ts'
import { schemaName, withAccountsLock } from './schema.ts'

const retireKeys = `update ${schemaName}.jwks set "expiresAt" = now() where "expiresAt" is null or "expiresAt" > now()`

/**
 * Sees to it that there is a key to sign tokens with. Private keys are stored encrypted with the secret: after the
 * secret was changed none can be read, and Better Auth would answer every request for a token with an error. Such
 * keys are retired, so that tokens signed with them stay good until they expire, and a new one is made.
 *
 * Under the lock, or instances that start together make a key each.
 */
export async function ensureSigningKey(
  auth: BetterAuth,
  pool: pg.Pool,
  logger: AccountsLogger,
): Promise<void> {
  await withAccountsLock(pool, async () => {
    try {
      await sign(auth)
    } catch (error) {
      if (!(error instanceof Error && /decrypt/i.test(error.message))) throw error
      logger.warn({ err: describeError(error) }, 'accounts: the secret has changed; making a new signing key')
      await pool.query(retireKeys)
      await sign(auth)
    }
  })
}

/** Signs something, for which Better Auth makes a key when there is none. */
async function sign(auth: BetterAuth): Promise<void> {
  await auth.api.signJWT({ body: { payload: {} } })
}
