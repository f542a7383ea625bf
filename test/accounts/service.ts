import { randomBytes } from 'node:crypto'
import { after } from 'node:test'
import { type Accounts, type AccountsOptions, openAccounts } from '../../src/accounts/accounts.ts'
import { type AppDependencies, createApp } from '../../src/app.ts'
import { openVerifier } from '../../src/auth/configured-verifier.ts'
import { type Database, openDatabase } from '../../src/db/database.ts'
import type { App } from '../../src/http/server.ts'
import { createLogger } from '../../src/ops/logging.ts'
import { eraseData } from '../../src/tasks/erase.ts'
import { type Answer, type LogLine, memory, testSecret } from '../support/app.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

export type AccountsService = {
  readonly url: string
  readonly app: App
  readonly accounts: Accounts
  readonly database: Database
  readonly testDatabase: TestDatabase
  readonly logs: LogLine[]
  stop(): Promise<void>
}

type Options = Partial<AccountsOptions> &
  Pick<AppDependencies, 'corsOrigins'> & { readonly testDatabase?: TestDatabase; readonly prepare?: boolean }

/**
 * The service of a test with accounts inside: on a port that the system gave, over a database of its own. The limit on
 * passwords is lifted unless the test sets one: all tests come from one address.
 */
export async function startAccounts(options: Options = {}): Promise<AccountsService> {
  const { prepare = true, corsOrigins = [], ...accountsOptions } = options
  const testDatabase = options.testDatabase ?? (await createTestDatabase())
  const { connection } = testDatabase
  const logs: LogLine[] = []
  const logger = createLogger('debug', memory(logs))
  const database = openDatabase({ connection, poolMax: 4 })
  await database.prepare()
  const accounts = openAccounts({
    connection,
    secrets: [testSecret],
    publicUrl: undefined,
    onUserDeleted: async (userId) => {
      await eraseData(database.scopeFor(userId))
    },
    passwordQuota: { name: 'passwords', requests: 1_000, windowS: 10 },
    logger,
    ...accountsOptions,
  })
  if (prepare) await accounts.prepare()
  // As main.ts puts them together: the keys of accounts go to the verifier by its own rules.
  const { verifier } = openVerifier(
    { secrets: [testSecret], issuer: accounts, clockToleranceS: 5 },
    (event) => {
      logger.debug(event, 'keys')
    },
  )
  const app = await createApp({ database, verifier, accounts, logger, corsOrigins, loopDelay: 'off' })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  let stopped = false
  const stop = async () => {
    if (stopped) return
    stopped = true
    await app.close()
    await accounts.close()
    await database.close()
    if (options.testDatabase === undefined) await testDatabase.drop()
  }
  after(stop)
  return { url, app, accounts, database, testDatabase, logs, stop }
}

export type Asked = {
  readonly headers?: Record<string, string>
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is, as JSON too unless the headers say otherwise. */
  readonly raw?: string | Uint8Array<ArrayBuffer>
}

/** Sends a request as a program does: without an Origin. */
export async function ask(url: string, method: string, path: string, asked: Asked = {}): Promise<Answer> {
  const { headers = {}, json, raw = json === undefined ? undefined : JSON.stringify(json) } = asked
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...(raw !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(raw !== undefined && { body: raw }),
    redirect: 'manual',
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text ? JSON.parse(text) : undefined,
  }
}

export type Account = {
  readonly userId: string
  readonly email: string
  readonly password: string
  /** The session token, as the answer's body has it. */
  readonly session: string
  /** For requests in the account's name. */
  readonly bearer: { readonly authorization: string }
}

/** Signs somebody up whom nobody else is. */
export async function signUp({ url }: { url: string }): Promise<Account> {
  const unique = randomBytes(8).toString('hex')
  const email = `${unique}@example.com`
  const password = `correct-${unique}`
  const json = { name: 'Ada', email, password }
  const { status, text, body } = await ask(url, 'POST', '/api/auth/sign-up/email', { json })
  if (status !== 200) throw new Error(`Nobody was signed up: ${text}`)
  const session = String(body.token)
  return {
    userId: String(body.user.id),
    email,
    password,
    session,
    bearer: { authorization: `Bearer ${session}` },
  }
}

/** An access token of the account, as a header. */
export async function tokenOf({ url }: { url: string }, { bearer }: Account) {
  const { status, text, body } = await ask(url, 'GET', '/api/auth/token', { headers: bearer })
  if (status !== 200) throw new Error(`No token was given: ${text}`)
  return { authorization: `Bearer ${body.token}` }
}
