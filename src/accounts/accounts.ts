import type pg from 'pg'
import { databaseUnavailable, toAppError } from '../db/sqlstate.ts'
import type { App } from '../http/server.ts'
import type { Quota, RateLimiter } from '../limits/rate-limiter.ts'
import { createBetterAuth } from './better-auth.ts'
import { openAccountsDatabase } from './database.ts'
import { createErasure } from './erasure.ts'
import { createAccountLimits } from './limits.ts'
import { type AccountsLogger, describeError } from './logging.ts'
import { registerAccountRoutes } from './routes.ts'
import { migrateAccounts } from './schema.ts'
import { ensureSigningKey } from './signing-key.ts'

export type { AccountsLogger } from './logging.ts'

/** Accounts that the service issues itself: sign-up, sign-in, sessions and tokens, by Better Auth. */
export type Accounts = {
  /** Mounts /api/auth/* on the server, in a scope of its own, outside the token guard. */
  register(app: App): Promise<void>
  /**
   * Makes the tables and the signing key. Until it has succeeded every request is answered 503.
   *
   * @returns the names of the tables made or changed now
   * @throws AppError DATABASE_UNAVAILABLE when the database is away: call again later
   * @throws OperatorError when accounts cannot be served from the database
   */
  prepare(): Promise<string[]>
  /** What keeps accounts from being served, in words; empty when nothing does. */
  missing(): string[]
  /**
   * The public keys that the tokens are signed with, as a JWKS document (RFC 7517 §5).
   *
   * @throws AppError DATABASE_UNAVAILABLE
   */
  loadKeys(): Promise<unknown>
  /** `iss` of the tokens. */
  readonly issuer: string
  /** `aud` of the tokens. */
  readonly audience: string
  /** Closes the connections. The server must have been closed before. */
  close(): Promise<void>
}

export type AccountsOptions = {
  readonly connection: pg.ClientConfig
  /** The first signs the cookies and encrypts the private keys in the database; with the others they are still read. */
  readonly secrets: readonly string[]
  /**
   * The origin at which browsers reach the service, issuer and audience of its tokens too. Undefined on a developer's
   * machine: the loopback addresses of the port that the server listens on.
   */
  readonly publicUrl: string | undefined
  /** Origins of front ends elsewhere that may send cookies. */
  readonly trustedOrigins?: readonly string[]
  /** Erases everything else that a user has. Called before the account is gone, and once more half an hour later. */
  readonly onUserDeleted: (userId: string) => Promise<void>
  /** Of requests that check or set a password, by client address; 3 in 10 seconds when left out. */
  readonly passwordQuota?: Quota | undefined
  /** Makes the limiters of the routes; buckets in memory when left out. */
  readonly createLimiter?: (quota: Quota) => RateLimiter
  readonly logger: AccountsLogger
}

/** Issuer and audience where no public address is set: tokens outlive a change of port. */
const localName = 'backend-core'

/** Better Auth wants an origin to speak for; nobody can have this one (RFC 2606 §2). */
const localOrigin = 'http://backend-core.invalid'

/** Opens accounts on a database. No connection is made before `prepare`. */
export function openAccounts(options: AccountsOptions): Accounts {
  const { publicUrl, logger, onUserDeleted, trustedOrigins = [] } = options
  const [issuer, audience] = [publicUrl ?? localName, publicUrl ?? localName]
  const baseUrl = publicUrl ?? localOrigin
  const database = openAccountsDatabase(options.connection, (error) => {
    logger.warn(
      { err: error instanceof Error ? describeError(error) : undefined },
      'accounts: connection lost',
    )
  })
  const { pool } = database
  const erasure = createErasure({ pool, onUserDeleted, logger })
  let localOrigins: () => readonly string[] = () => []
  const auth = createBetterAuth({
    database,
    secrets: options.secrets,
    baseUrl,
    issuer,
    audience,
    trustedOrigins: () => [...trustedOrigins, ...localOrigins()],
    eraseUser: erasure.eraseUser,
    logger,
  })
  let prepared = false
  async function whenPrepared<T>(work: () => Promise<T>): Promise<T> {
    if (!prepared) throw databaseUnavailable(new Error('Accounts are not prepared yet'))
    return database.watch(work)
  }

  return {
    issuer,
    audience,
    async register(app) {
      if (publicUrl === undefined) localOrigins = () => loopbackOrigins(app)
      await registerAccountRoutes(app, {
        handle: (request) => whenPrepared(() => auth.handler(request)),
        origin: baseUrl,
        limits: createAccountLimits(options.createLimiter, options.passwordQuota),
      })
    },
    async prepare() {
      try {
        const made = await migrateAccounts(pool, auth.options)
        await ensureSigningKey(auth, pool, logger)
        prepared = true
        erasure.start()
        return made
      } catch (error) {
        throw toAppError(error)
      }
    },
    missing: () => (prepared ? [] : ['accounts are not prepared yet']),
    loadKeys: () => whenPrepared(() => auth.api.getJwks()),
    async close() {
      await erasure.stop()
      if (!pool.ending) await pool.end()
    },
  }
}

/** The origins of pages that a browser on this machine has from the server. */
function loopbackOrigins(app: App): string[] {
  const address = app.server.address()
  if (address === null || typeof address === 'string') return []
  return ['localhost', '127.0.0.1', '[::1]'].map((host) => `http://${host}:${address.port}`)
}
