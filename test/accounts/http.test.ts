import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { accountRoutes } from '../../src/accounts/routes.ts'
import { ask, signUp, startAccounts, tokenOf } from './service.ts'

// Accounts over plain HTTP, as a program in any language uses them.

const service = await startAccounts()
const { url } = service

function decode(token: string): Record<string, unknown>[] {
  const [header = '', payload = ''] = token.split('.')
  return [header, payload].map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))
}

test('sign-up answers the user with an id of 32 letters and digits, a session token and a cookie', async () => {
  const json = { name: 'Ada', email: 'Ada.L@Example.com', password: 'a-good-one' }
  const answer = await ask(url, 'POST', '/api/auth/sign-up/email', { json })
  assert.equal(answer.status, 200)
  assert.match(answer.body.user.id, /^[A-Za-z0-9]{32}$/)
  assert.equal(answer.body.user.email, 'ada.l@example.com')
  assert.equal(answer.body.user.emailVerified, false)
  assert.match(answer.body.token, /^[A-Za-z0-9]{32}$/)
  const [cookie = ''] = answer.headers.getSetCookie()
  assert.match(cookie, /^better-auth\.session_token=.+; Max-Age=604800; Path=\/; HttpOnly; SameSite=Lax$/)
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  assert.match(answer.headers.get('x-request-id') ?? '', /./)
})

test('sign-up with an address that has an account is refused', async () => {
  const { email } = await signUp(service)
  const json = { name: 'Eve', email: email.toUpperCase(), password: 'another-one' }
  const { status, body } = await ask(url, 'POST', '/api/auth/sign-up/email', { json })
  assert.equal(status, 422)
  assert.equal(body.code, 'USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL')
})

test('eight sign-ups with one address at the same time make one account', async () => {
  const json = { name: 'Ada', email: 'race@example.com', password: 'a-good-one' }
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => ask(url, 'POST', '/api/auth/sign-up/email', { json })),
  )
  const statuses = answers.map(({ status }) => status).toSorted()
  assert.deepEqual(statuses, [200, ...Array(7).fill(422)])
  const accounts = await service.testDatabase.query(
    `select from auth."user" where email = 'race@example.com'`,
  )
  assert.equal(accounts.length, 1)
})

test('sign-in with the password gives a session of its own; with another it is refused, as for nobody', async () => {
  const { email, password, session } = await signUp(service)
  const right = await ask(url, 'POST', '/api/auth/sign-in/email', { json: { email, password } })
  assert.equal(right.status, 200)
  assert.notEqual(right.body.token, session)
  const wrong = await ask(url, 'POST', '/api/auth/sign-in/email', { json: { email, password: 'wrong-one' } })
  const nobody = { email: 'nobody@example.com', password: 'wrong-one' }
  const unknown = await ask(url, 'POST', '/api/auth/sign-in/email', { json: nobody })
  assert.equal(wrong.status, 401)
  assert.deepEqual([unknown.status, unknown.text], [wrong.status, wrong.text])
  assert.equal(wrong.body.code, 'INVALID_EMAIL_OR_PASSWORD')
})

for (const [name, credential] of [
  ['the raw session token', (token: string) => token],
  ['the set-auth-token header', (_: string, signed: string) => signed],
] as const) {
  test(`${name} stands for the session as a bearer`, async () => {
    const { email, password, userId } = await signUp(service)
    const signedIn = await ask(url, 'POST', '/api/auth/sign-in/email', { json: { email, password } })
    const token = credential(signedIn.body.token, signedIn.headers.get('set-auth-token') ?? '')
    const headers = { authorization: `Bearer ${token}` }
    const session = await ask(url, 'GET', '/api/auth/get-session', { headers })
    assert.equal(session.body.user.id, userId)
    assert.equal(session.body.session.userId, userId)
    assert.equal(session.body.session.ipAddress, '127.0.0.1')
  })
}

test('without a session, or with a made-up one, get-session answers null and token 401', async () => {
  for (const headers of [{}, { authorization: `Bearer ${'a'.repeat(32)}` }]) {
    const session = await ask(url, 'GET', '/api/auth/get-session', { headers })
    assert.deepEqual([session.status, session.text], [200, 'null'])
    const token = await ask(url, 'GET', '/api/auth/token', { headers })
    assert.deepEqual([token.status, token.body.code], [401, 'UNAUTHORIZED'])
  }
})

test('the token names its user and nothing else of them, and is signed with a key of the JWKS', async () => {
  const account = await signUp(service)
  const { authorization } = await tokenOf(service, account)
  const [header, { iat, exp, ...claims } = {}] = decode(authorization.slice(7))
  assert.deepEqual(claims, { sub: account.userId, iss: 'backend-core', aud: 'backend-core' })
  assert.equal(Number(exp) - Number(iat), 900)
  const { status, body, headers } = await ask(url, 'GET', '/api/auth/jwks')
  assert.equal(status, 200)
  assert.equal(headers.get('cache-control'), 'public, max-age=300')
  assert.deepEqual(header, { alg: 'EdDSA', kid: body.keys[0].kid })
  assert.equal(body.keys.length, 1)
  assert.deepEqual(Object.keys(body.keys[0]).toSorted(), ['alg', 'crv', 'kid', 'kty', 'x'])
  assert.deepEqual(await service.accounts.loadKeys(), body)
})

test('the set-auth-jwt header of get-session is such a token too', async () => {
  const account = await signUp(service)
  const session = await ask(url, 'GET', '/api/auth/get-session', { headers: account.bearer })
  const headers = { authorization: `Bearer ${session.headers.get('set-auth-jwt')}` }
  const created = await ask(url, 'POST', '/api/me/tasks', { headers, json: { title: 'Buy milk' } })
  assert.equal(created.status, 201)
  assert.equal(created.body.data.user_id, account.userId)
})

test('with the token its user creates tasks and reaches no other path; session tokens open no task', async () => {
  const [ada, eve] = [await signUp(service), await signUp(service)]
  const headers = await tokenOf(service, ada)
  const created = await ask(url, 'POST', `/api/${ada.userId}/tasks`, { headers, json: { title: 'Mine' } })
  assert.equal(created.status, 201)
  assert.equal((await ask(url, 'GET', `/api/${eve.userId}/tasks`, { headers })).status, 403)
  const signedIn = await ask(url, 'POST', '/api/auth/sign-in/email', { json: ada })
  const signed = signedIn.headers.get('set-auth-token') ?? ''
  for (const credential of [ada.session, signed, encodeURIComponent(signed)]) {
    const refused = await ask(url, 'GET', '/api/me/tasks', {
      headers: { authorization: `Bearer ${credential}` },
    })
    assert.deepEqual([refused.status, refused.body.error.code], [401, 'TOKEN_INVALID'])
  }
  const [cookie = ''] = signedIn.headers.getSetCookie()
  const byCookie = await ask(url, 'GET', '/api/me/tasks', { headers: { cookie: cookie.split(';')[0] ?? '' } })
  assert.deepEqual([byCookie.status, byCookie.body.error.code], [401, 'TOKEN_MISSING'])
})

test('sign-out ends the session, for good, and only that one', async () => {
  const account = await signUp(service)
  const other = await ask(url, 'POST', '/api/auth/sign-in/email', { json: account })
  const out = await ask(url, 'POST', '/api/auth/sign-out', { headers: account.bearer, json: {} })
  assert.deepEqual([out.status, out.body], [200, { success: true }])
  assert.equal((await ask(url, 'GET', '/api/auth/token', { headers: account.bearer })).status, 401)
  const headers = { authorization: `Bearer ${other.body.token}` }
  assert.equal((await ask(url, 'GET', '/api/auth/token', { headers })).status, 200)
})

test('a changed password is the only one from then on, and can end all other sessions', async () => {
  const account = await signUp(service)
  const other = await ask(url, 'POST', '/api/auth/sign-in/email', { json: account })
  const json = { currentPassword: account.password, newPassword: 'quite-another', revokeOtherSessions: true }
  const changed = await ask(url, 'POST', '/api/auth/change-password', { headers: account.bearer, json })
  assert.equal(changed.status, 200)
  const old = await ask(url, 'POST', '/api/auth/sign-in/email', { json: account })
  assert.equal(old.status, 401)
  const now = { email: account.email, password: 'quite-another' }
  assert.equal((await ask(url, 'POST', '/api/auth/sign-in/email', { json: now })).status, 200)
  const headers = { authorization: `Bearer ${other.body.token}` }
  assert.equal((await ask(url, 'GET', '/api/auth/token', { headers })).status, 401)
})

test('every listed route is one of Better Auth, with its method; HEAD goes with GET', async () => {
  for (const [path, method] of Object.entries(accountRoutes)) {
    const json = method === 'POST' ? { json: {} } : {}
    const answer = await ask(url, method, `/api/auth${path}`, json)
    assert.notEqual(answer.status, 404, path)
    assert.ok(answer.status < 500, path)
    const head = await ask(url, 'HEAD', `/api/auth${path}`)
    assert.equal(head.status, method === 'GET' ? answer.status : 405, path)
    assert.equal(head.text, '')
  }
})

for (const path of [
  '/api/auth/nothing',
  '/api/auth/',
  '/api/auth//sign-in/email',
  '/api/auth/sign-in/email/',
  '/api/auth/sign-in/social',
  '/api/auth/request-password-reset',
  '/api/auth/reset-password/x',
  '/api/auth/delete-user/callback?token=x',
  '/api/auth/callback/github',
  '/api/auth/verify-email',
  '/api/auth/error',
  '/api/auth/reference',
  '/api/auth/__proto__',
  '/api/auth/..%2ftasks',
]) {
  test(`${path} is 404 without a token, in Better Auth's form, whatever the method`, async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const { status, body } = await ask(url, method, path, method === 'POST' ? { json: {} } : {})
      assert.deepEqual([status, body.code], [404, 'ROUTE_NOT_FOUND'], method)
    }
  })
}

test('another method of a route is 405 with Allow, and OPTIONS says the same without a body', async () => {
  for (const [path, allow] of [
    ['/api/auth/sign-out', 'POST, OPTIONS'],
    ['/api/auth/token', 'GET, HEAD, OPTIONS'],
  ] as const) {
    const refused = await ask(url, 'DELETE', path)
    assert.deepEqual([refused.status, refused.body.code], [405, 'METHOD_NOT_ALLOWED'])
    assert.equal(refused.headers.get('allow'), allow)
    const options = await ask(url, 'OPTIONS', path)
    assert.deepEqual([options.status, options.text, options.headers.get('allow')], [204, '', allow])
    assert.equal(options.headers.get('access-control-allow-origin'), null)
  }
})

test('no way of spelling a path leads past the token guard', async () => {
  for (const path of [
    '/api/auth/../me/tasks',
    '/api/auth/%2e%2e/me/tasks',
    '/api/auth',
    '/api/auth%2fsign-in/email/tasks',
    '/api/authx/tasks',
    '/api/me/tasks?x=/api/auth/token',
    '/api/auth%00/tasks',
  ]) {
    // fetch would resolve the dots itself.
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const { hostname, port } = new URL(url)
      const sent = request({ hostname, port, path, method: 'GET' }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
      sent.on('error', reject).end()
    })
    assert.ok(status === 401 || status === 404, `${path}: ${status}`)
  }
})

test('a route of accounts is reached however its path is encoded, and never another for it', async () => {
  const plain = await ask(url, 'GET', '/api/auth/jwks')
  const encoded = await ask(url, 'GET', '/%61pi/%61uth/jw%6bs')
  assert.deepEqual([encoded.status, encoded.text], [plain.status, plain.text])
})
