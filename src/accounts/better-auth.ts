import { hash } from 'node:crypto'
import { betterAuth } from 'better-auth'
import { APIError, createAuthMiddleware } from 'better-auth/api'
import { bearer } from 'better-auth/plugins/bearer'
import { jwt } from 'better-auth/plugins/jwt'
import type { AccountsDatabase } from './database.ts'
import { type AccountsLogger, betterAuthLogger } from './logging.ts'
import { limitedPasswords } from './password-hashing.ts'
import { schemaName } from './schema.ts'

/** The header by which Better Auth is told where a request comes from; requests cannot set it. */
export const clientAddressHeader = 'x-client-address'

/** Longest values that an account holds, in UTF-16 units (RFC 5321 §4.5.3.1.3 for the address). */
const maxLengths = { name: 255, email: 254, image: 2048 } as const

export type BetterAuthSettings = {
  readonly database: AccountsDatabase
  /** The first signs and encrypts, all of them decrypt. */
  readonly secrets: readonly string[]
  /** The origin that links, cookies and the check of origins are made for. */
  readonly baseUrl: string
  readonly issuer: string
  readonly audience: string
  readonly trustedOrigins: () => readonly string[]
  readonly eraseUser: (userId: string) => Promise<void>
  readonly logger: AccountsLogger
}

export type BetterAuth = ReturnType<typeof createBetterAuth>

/**
 * Better Auth as this service uses it. Whatever it would take from NODE_ENV or from variables of its own is set here.
 * https://better-auth.com/docs/reference/options
 */
export function createBetterAuth(settings: BetterAuthSettings) {
  const { issuer, audience } = settings
  return betterAuth({
    appName: 'backend-core',
    database: { dialect: settings.database.dialect, type: 'postgres', schemaName, transaction: true },
    secrets: settings.secrets.map((value) => ({ version: versionOf(value), value })),
    baseURL: settings.baseUrl,
    basePath: '/api/auth',
    trustedOrigins: () => [...settings.trustedOrigins()],
    emailAndPassword: { enabled: true, password: limitedPasswords() },
    user: { deleteUser: { enabled: true, beforeDelete: ({ id }) => settings.eraseUser(id) } },
    plugins: [
      bearer(),
      jwt({
        // Tokens live for 15 minutes; a key that is no longer signed with need not be known for longer.
        jwks: { gracePeriod: 60 * 60 },
        // No field of the user becomes a claim, so none can stand in the place of a registered one.
        jwt: { issuer, audience, expirationTime: '15m', definePayload: () => ({}) },
      }),
    ],
    // Its own goes through all it remembers at each request; the routes have limits of the service.
    rateLimit: { enabled: false },
    hooks: { before: createAuthMiddleware(async ({ body }) => checkFields(body)) },
    // Errors that are not meant for the client come out of the handler, instead of being printed.
    onAPIError: { throw: true },
    logger: betterAuthLogger(settings.logger),
    telemetry: { enabled: false },
    advanced: {
      ipAddress: { ipAddressHeaders: [clientAddressHeader] },
      disableOriginCheck: false,
      disableCSRFCheck: false,
      useSecureCookies: settings.baseUrl.startsWith('https:'),
    },
  })
}

/**
 * What is encrypted says by a number which secret it needs. Made from the secret itself, it stays the same wherever the
 * secret stands in a list.
 */
function versionOf(secret: string): number {
  return Number.parseInt(hash('sha256', secret, 'hex').slice(0, 12), 16)
}

/**
 * Refuses what PostgreSQL cannot hold, or would hold altered, and what is out of all proportion; before the password is
 * hashed, which takes long.
 */
function checkFields(body: unknown): void {
  if (typeof body !== 'object' || body === null) return
  const fields = new Map<string, unknown>(Object.entries(body))
  for (const [name, maxLength] of Object.entries(maxLengths)) {
    const value = fields.get(name)
    if (value === undefined || value === null) continue
    if (typeof value === 'string' && value.length <= maxLength && isStorable(value)) continue
    throw new APIError('BAD_REQUEST', {
      code: `INVALID_${name.toUpperCase()}`,
      message: `The ${name} must be text of at most ${maxLength} characters.`,
    })
  }
}

function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}
