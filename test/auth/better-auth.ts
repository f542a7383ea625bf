import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { after } from 'node:test'
import { type BetterAuthOptions, betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'

/** A real Better Auth, installed from npm and reached over HTTP, and somebody who has signed up at it. */
export type RealBetterAuth = {
  readonly origin: string
  readonly userId: string
  /** G: what sign-up answers as the session's token. */
  readonly sessionToken: string
  /** Cookies by name, as sign-up has set them, decoded. */
  readonly cookies: ReadonlyMap<string, string>
  /** I: what a verification e-mail would have linked to. */
  readonly verificationToken: string
  /** A: from GET /api/auth/token. */
  fetchToken(): Promise<string>
  /** A: from the header that comes with the session. */
  fetchHeaderToken(): Promise<string>
  get(path: string): Promise<Response>
}

export type Site = {
  readonly origin: string
  /** Puts another Better Auth, with a new database, in the place of the one before. */
  open(options: Partial<BetterAuthOptions>, user?: Record<string, unknown>): Promise<RealBetterAuth>
}

export const betterAuthSecret = 'q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more'

/** A front end's address, on a free port of this machine; it ends with the test file. */
export async function startSite(): Promise<Site> {
  let handle: RequestListener = (_, response) => response.writeHead(404).end()
  const server = createServer((request, response) => handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const origin = `http://127.0.0.1:${address.port}`
  return {
    origin,
    async open(options, user = {}) {
      let verificationToken = ''
      const auth = betterAuth({
        baseURL: origin,
        secret: betterAuthSecret,
        database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
        // The real hash takes a tenth of a second, and no credential depends on it.
        emailAndPassword: { enabled: true, password: { hash: async (password) => password } },
        emailVerification: {
          sendOnSignUp: true,
          async sendVerificationEmail({ token }) {
            verificationToken = token
          },
        },
        logger: { disabled: true },
        telemetry: { enabled: false },
        ...options,
      })
      handle = toNodeHandler(auth)
      const { baseURL } = await auth.$context
      const routes = baseURL.replace(/\/$/, '')
      const signedUp = await signUp(routes, origin, user)
      return { origin, verificationToken, ...signedUp, ...client(routes, signedUp.cookieHeader) }
    },
  }
}

async function signUp(baseUrl: string, origin: string, user: Record<string, unknown>) {
  const response = await fetch(`${baseUrl}/sign-up/email`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin },
    body: JSON.stringify({
      name: 'Ada',
      email: 'ada@example.com',
      password: 'correct horse battery',
      ...user,
    }),
  })
  const body = await response.json()
  assert.equal(response.status, 200, JSON.stringify(body))
  // As Better Auth documents the answer.
  const { token, user: created } = body as { token: string; user: { id: string } }
  const set = response.headers.getSetCookie().map((cookie) => cookie.split(';', 1)[0] ?? '')
  const cookies = new Map(
    set.map((cookie) => {
      const at = cookie.indexOf('=')
      return [cookie.slice(0, at), decodeURIComponent(cookie.slice(at + 1))]
    }),
  )
  return { userId: created.id, sessionToken: token, cookies, cookieHeader: set.join('; ') }
}

function client(baseUrl: string, cookie: string) {
  const get = (path: string) => fetch(`${baseUrl}${path}`, { headers: { cookie } })
  return {
    get,
    async fetchToken() {
      const response = await get('/token')
      assert.equal(response.status, 200)
      // As Better Auth documents the answer.
      const { token } = (await response.json()) as { token: string }
      return token
    },
    async fetchHeaderToken() {
      const token = (await get('/get-session')).headers.get('set-auth-jwt')
      assert.ok(token !== null)
      return token
    },
  }
}
