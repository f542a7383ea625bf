import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { ask, startAccounts } from './service.ts'

// Better Auth's own client library, as a front end uses it: in a browser, with its cookies and its Origin, and in a
// program with a bearer.

const service = await startAccounts()
const { url } = service

type Jar = { readonly fetch: typeof fetch; readonly cookies: Map<string, string> }

/** The fetch of a page of this origin: cookies are kept and sent, and every request but GET names the origin. */
function browser(origin: string): Jar {
  const cookies = new Map<string, string>()
  return {
    cookies,
    async fetch(input, init) {
      const headers = new Headers(init?.headers)
      if (cookies.size > 0) headers.set('cookie', Array.from(cookies, ([k, v]) => `${k}=${v}`).join('; '))
      if (init?.method !== undefined && init.method !== 'GET') headers.set('origin', origin)
      headers.set('sec-fetch-site', 'same-origin')
      const response = await fetch(input, { ...init, headers })
      for (const line of response.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
        if (/max-age=0/i.test(line)) cookies.delete(name)
        else cookies.set(name, value)
      }
      return response
    },
  }
}

function clientOf(customFetchImpl: typeof fetch) {
  return createAuthClient({ baseURL: url, plugins: [jwtClient()], fetchOptions: { customFetchImpl } })
}

const credentials = (name: string) => ({ name, email: `${name}@example.com`, password: 'correct-horse' })

test('in a browser: sign up, read the session, get a token, use the API, sign out', async () => {
  const jar = browser(url)
  const client = clientOf(jar.fetch)
  const signedUp = await client.signUp.email(credentials('ada'))
  assert.equal(signedUp.error, null)
  const { data: session } = await client.getSession()
  assert.equal(session?.user.email, 'ada@example.com')
  assert.ok(session.session.expiresAt instanceof Date)
  const { data: token } = await client.$fetch<{ token: string }>('/token')
  const created = await ask(url, 'POST', '/api/me/tasks', {
    headers: { authorization: `Bearer ${token?.token}` },
    json: { title: 'Buy milk' },
  })
  assert.equal(created.status, 201)
  assert.equal(created.body.data.user_id, session.user.id)
  assert.equal((await client.signOut()).data?.success, true)
  assert.equal(jar.cookies.size, 0)
  assert.equal((await client.getSession()).data, null)
})

test('a wrong password comes back as an error with status, code and message', async () => {
  const client = clientOf(browser(url).fetch)
  await client.signUp.email(credentials('bea'))
  const { data, error } = await client.signIn.email({ email: 'bea@example.com', password: 'wrong-one' })
  assert.equal(data, null)
  assert.deepEqual(
    [error?.status, error?.code, error?.message],
    [401, 'INVALID_EMAIL_OR_PASSWORD', 'Invalid email or password'],
  )
})

test('sign in elsewhere, list the sessions, end the other one, rename oneself', async () => {
  const [first, second] = [clientOf(browser(url).fetch), clientOf(browser(url).fetch)]
  const { password, email, name } = credentials('cleo')
  await first.signUp.email({ name, email, password })
  const signedIn = await second.signIn.email({ email, password })
  assert.equal((await second.listSessions()).data?.length, 2)
  await first.revokeSession({ token: signedIn.data?.token ?? '' })
  assert.equal((await second.getSession()).data, null)
  assert.equal((await first.updateUser({ name: 'Cleo' })).error, null)
  assert.equal((await first.getSession()).data?.user.name, 'Cleo')
})

test('in a program: the token of the answer is the bearer from then on, without a cookie or an Origin', async () => {
  const client = clientOf(fetch)
  const { data } = await client.signUp.email(credentials('dora'))
  const headers = { authorization: `Bearer ${data?.token}` }
  const { data: session } = await client.getSession({ fetchOptions: { headers } })
  assert.equal(session?.user.email, 'dora@example.com')
  const { data: keys } = await client.jwks()
  assert.equal(keys?.keys.length, 1)
})

test('deleting the account with the library ends it', async () => {
  const client = clientOf(browser(url).fetch)
  const { email, password, name } = credentials('edith')
  await client.signUp.email({ name, email, password })
  const wrong = await client.deleteUser({ password: 'wrong-one' })
  assert.equal(wrong.error?.code, 'INVALID_PASSWORD')
  assert.equal((await client.deleteUser({ password })).data?.success, true)
  assert.equal((await client.getSession()).data, null)
  assert.equal((await client.signIn.email({ email, password })).error?.status, 401)
  assert.equal(
    (await client.signUp.email({ name, email, password })).error,
    null,
    'the address is free again',
  )
})

test('a page of another origin is refused whatever it sends, and its error can be read', async () => {
  const client = clientOf(browser('https://evil.example').fetch)
  const { error } = await client.signUp.email(credentials('eve'))
  assert.deepEqual([error?.status, error?.code], [403, 'INVALID_ORIGIN'])
})
