import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, signUp, startAccounts } from './service.ts'

// Who may send requests with somebody's cookie: pages of the service's own origin and of those it is told of, and
// programs, which have no page that could be made to send one.

const service = await startAccounts()
const deployed = await startAccounts({
  publicUrl: 'https://tasks.example',
  trustedOrigins: ['https://app.example'],
})

const cors = await startAccounts({
  publicUrl: 'https://tasks.example',
  trustedOrigins: ['https://app.example'],
  corsOrigins: ['https://app.example'],
})

async function cookieOf({ url }: { url: string }): Promise<string> {
  const account = await signUp({ url })
  const answer = await ask(url, 'POST', '/api/auth/sign-in/email', { json: account })
  return answer.headers.getSetCookie()[0]?.split(';')[0] ?? ''
}

async function rename({ url }: { url: string }, headers: Record<string, string>) {
  const cookie = await cookieOf({ url })
  const json = { name: 'Renamed' }
  const { status, body } = await ask(url, 'POST', '/api/auth/update-user', {
    headers: { cookie, ...headers },
    json,
  })
  return status === 200 ? 200 : body.code
}

test('a program with a cookie and no Origin is served: curl with a cookie jar', async () => {
  assert.equal(await rename(service, {}), 200)
  assert.equal(await rename(deployed, {}), 200)
})

test('on a developer machine, pages of the loopback addresses at the own port are served', async () => {
  const { port } = new URL(service.url)
  for (const host of ['localhost', '127.0.0.1', '[::1]']) {
    assert.equal(await rename(service, { origin: `http://${host}:${port}` }), 200, host)
  }
})

test('with PUBLIC_URL, pages of it and of the trusted origins are served, and no loopback address', async () => {
  assert.equal(await rename(deployed, { origin: 'https://tasks.example' }), 200)
  assert.equal(await rename(deployed, { origin: 'https://app.example' }), 200)
  assert.equal(await rename(deployed, { origin: deployed.url }), 'INVALID_ORIGIN')
})

for (const [name, headers] of [
  ['another origin', { origin: 'https://evil.example' }],
  ['another port', { origin: 'http://localhost:1' }],
  ['a look-alike', { origin: 'https://tasks.example.evil.example' }],
  ['another scheme', { origin: 'http://tasks.example' }],
  ['another origin, with a Host to match', { origin: 'https://evil.example', host: 'evil.example' }],
  [
    'another origin, with forwarded headers to match',
    { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
  ],
  ['a Referer of another origin', { referer: 'https://evil.example/page' }],
] as const) {
  test(`with a cookie, ${name} is refused`, async () => {
    assert.equal(await rename(service, headers), 'INVALID_ORIGIN')
    assert.equal(await rename(deployed, headers), 'INVALID_ORIGIN')
  })
}

for (const [name, headers] of [
  ['an Origin of null', { origin: 'null' }],
  ['an Origin of null from another site', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
  ['no Origin, by what calls itself a browser', { 'sec-fetch-site': 'cross-site' }],
] as const) {
  test(`with a cookie, ${name} is refused`, async () => {
    assert.equal(await rename(service, headers), 'MISSING_OR_NULL_ORIGIN')
  })
}

test('a form of another site cannot sign anybody in, with or without a cookie', async () => {
  const account = await signUp(service)
  const fromForm = {
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
  }
  for (const headers of [fromForm, { ...fromForm, origin: 'https://evil.example' }]) {
    const path = '/api/auth/sign-in/email'
    const { status } = await ask(service.url, 'POST', path, { headers, json: account })
    assert.equal(status, 403)
  }
  const raw = new URLSearchParams(account.bearer).toString()
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const form = await ask(service.url, 'POST', '/api/auth/sign-in/email', { headers, raw })
  assert.deepEqual([form.status, form.body.code], [415, 'UNSUPPORTED_MEDIA_TYPE'])
})

test('a callback address elsewhere is refused', async () => {
  const account = await signUp(service)
  for (const callbackURL of [
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    'javascript:alert(1)',
  ]) {
    const { status, body, headers } = await ask(service.url, 'POST', '/api/auth/sign-in/email', {
      json: { ...account, callbackURL },
    })
    assert.deepEqual([status, body.code], [403, 'INVALID_CALLBACK_URL'], callbackURL)
    assert.equal(headers.get('location'), null)
  }
})

test('behind https the cookie is for https alone', async () => {
  const account = await signUp(deployed)
  const answer = await ask(deployed.url, 'POST', '/api/auth/sign-in/email', { json: account })
  const [cookie = ''] = answer.headers.getSetCookie()
  assert.match(cookie, /^__Secure-better-auth\.session_token=.+; HttpOnly; Secure; SameSite=Lax$/)
})

test('with PUBLIC_URL the tokens are issued by it and for it', async () => {
  const account = await signUp(deployed)
  const { body } = await ask(deployed.url, 'GET', '/api/auth/token', { headers: account.bearer })
  const claims = JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString())
  assert.deepEqual([claims.iss, claims.aud], ['https://tasks.example', 'https://tasks.example'])
})

test('pages of an allowed origin may send cookies to accounts, and to nothing else', async () => {
  const origin = 'https://app.example'
  const preflight = { origin, 'access-control-request-method': 'POST' }
  for (const [path, credentials] of [
    ['/api/auth/sign-in/email', 'true'],
    ['/api/auth/get-session', 'true'],
    ['/api/me/tasks', null],
    ['/health', null],
  ] as const) {
    const allowed = await ask(cors.url, 'OPTIONS', path, { headers: preflight })
    assert.equal(allowed.status, 204, path)
    assert.equal(allowed.headers.get('access-control-allow-origin'), origin)
    assert.equal(allowed.headers.get('access-control-allow-credentials'), credentials, path)
    const answer = await ask(cors.url, 'GET', path, { headers: { origin } })
    assert.equal(answer.headers.get('access-control-allow-credentials'), credentials, path)
    const stranger = await ask(cors.url, 'GET', path, { headers: { origin: 'https://evil.example' } })
    assert.equal(stranger.headers.get('access-control-allow-credentials'), null)
    assert.equal(stranger.headers.get('access-control-allow-origin'), null)
  }
})

test('a page of an allowed origin acts with the cookie, and reads errors too', async () => {
  assert.equal(await rename(cors, { origin: 'https://app.example' }), 200)
  assert.equal(await rename(cors, { origin: 'https://evil.example' }), 'INVALID_ORIGIN')
  const json = { email: 'nobody@example.com', password: 'wrong-one' }
  const headers = { origin: 'https://app.example' }
  const wrong = await ask(cors.url, 'POST', '/api/auth/sign-in/email', { headers, json })
  assert.deepEqual(
    [wrong.status, wrong.headers.get('access-control-allow-origin')],
    [401, 'https://app.example'],
  )
  const stranger = { origin: 'https://evil.example', 'access-control-request-method': 'POST' }
  const preflight = await ask(cors.url, 'OPTIONS', '/api/auth/sign-in/email', { headers: stranger })
  assert.equal(preflight.headers.get('access-control-allow-origin'), null)
})

test('answers of accounts have the security headers and say what is left of their limit', async () => {
  for (const path of ['/api/auth/get-session', '/api/auth/jwks', '/api/auth/nothing']) {
    const { headers } = await ask(cors.url, 'GET', path)
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.match(headers.get('ratelimit') ?? '', /^"accounts";r=\d+;t=\d+$/, path)
  }
})
