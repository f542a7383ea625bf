import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { type Asked, ask, signUp, startAccounts, tokenOf } from './service.ts'

const service = await startAccounts()
const { url, logs, testDatabase } = service

const good = { name: 'Ada', email: 'ada@example.com', password: 'a-good-one' }
const signUpPath = '/api/auth/sign-up/email'

function repeat(length: number): string {
  return 'x'.repeat(length)
}

for (const [name, asked, status, code] of [
  ['a NUL in the name', { json: { ...good, name: 'A\0da' } }, 400, 'INVALID_NAME'],
  ['a lone surrogate in the name', { json: { ...good, name: 'A\ud800' } }, 400, 'INVALID_NAME'],
  ['a name of 256 characters', { json: { ...good, name: repeat(256) } }, 400, 'INVALID_NAME'],
  ['an object as the name', { json: { ...good, name: { sub: 'x' } } }, 400, 'INVALID_NAME'],
  ['a NUL in the address', { json: { ...good, email: 'a\0@example.com' } }, 400, 'INVALID_EMAIL'],
  ['a huge address', { json: { ...good, email: `${repeat(60_000)}@a.example` } }, 400, 'INVALID_EMAIL'],
  ['no address at all', { json: { ...good, email: 'ada' } }, 400, 'VALIDATION_ERROR'],
  ['an address with a line break', { json: { ...good, email: 'a@b.example\r\nx' } }, 400, 'VALIDATION_ERROR'],
  ['a list as the address', { json: { ...good, email: ['a@b.example'] } }, 400, 'INVALID_EMAIL'],
  ['a huge image', { json: { ...good, image: repeat(2_049) } }, 400, 'INVALID_IMAGE'],
  ['a short password', { json: { ...good, password: 'short' } }, 400, 'PASSWORD_TOO_SHORT'],
  ['a password of 129 characters', { json: { ...good, password: repeat(129) } }, 400, 'PASSWORD_TOO_LONG'],
  ['a number as the password', { json: { ...good, password: 12345678 } }, 400, 'VALIDATION_ERROR'],
  ['nothing', {}, 400, 'VALIDATION_ERROR'],
  ['a list', { json: [good] }, 400, 'VALIDATION_ERROR'],
  ['null', { raw: 'null' }, 400, 'VALIDATION_ERROR'],
  ['broken JSON', { raw: '{"name":' }, 400, 'BAD_REQUEST'],
  ['nesting without end', { raw: '['.repeat(60_000) }, 400, 'BAD_REQUEST'],
  ['bytes that are not UTF-8', { raw: Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d) }, 400, 'INVALID_JSON'],
  ['a body over 64 KiB', { raw: repeat(65_537) }, 413, 'BODY_TOO_LARGE'],
  ['plain text', { raw: 'x', headers: { 'content-type': 'text/plain' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['a file', { raw: 'x', headers: { 'content-type': 'multipart/form-data' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['gzip', { raw: 'x', headers: { 'content-encoding': 'gzip' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
] as const satisfies readonly (readonly [string, Asked, number, string])[]) {
  test(`sign-up with ${name} is ${status} ${code}, and nobody is signed up`, async () => {
    const answer = await ask(url, 'POST', signUpPath, asked)
    assert.deepEqual([answer.status, answer.body.code], [status, code], answer.text)
    assert.deepEqual(await testDatabase.query('select from auth."user" where email = $1', [good.email]), [])
  })
}

test('a body that never says how long it is ends at 64 KiB', async () => {
  const { hostname, port } = new URL(url)
  const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  const sent = request({ hostname, port, path: signUpPath, method: 'POST', headers }, (answer) => {
    answer.resume()
    resolve(answer.statusCode)
  })
  // The service closes the connection under the rest.
  sent.on('error', () => {})
  for (let count = 0; count < 10; count++) sent.write(repeat(16_384))
  assert.equal(await promise, 413)
  sent.destroy()
})

test('a string of emoji, and a password of any characters, are kept as they are', async () => {
  const json = { name: '🦔 Ünï', email: 'hedgehog@example.com', password: 'pässwörd-🦔\0x' }
  const { body } = await ask(url, 'POST', signUpPath, { json })
  assert.equal(body.user.name, '🦔 Ünï')
  assert.equal((await ask(url, 'POST', '/api/auth/sign-in/email', { json })).status, 200)
  const other = { ...json, password: 'pässwörd-🦔\0y' }
  assert.equal((await ask(url, 'POST', '/api/auth/sign-in/email', { json: other })).status, 401)
})

const injected = {
  sub: 'victim',
  id: 'victim',
  userId: 'victim',
  user_id: 'victim',
  aud: 'elsewhere',
  iss: 'elsewhere',
  exp: 4_000_000_000,
  iat: 0,
  jti: 'x',
  role: 'admin',
  admin: true,
  emailVerified: true,
  createdAt: '2000-01-01T00:00:00.000Z',
  banned: false,
}

test('fields that nobody asked for are not stored, and set no claim', async () => {
  const json = { ...good, email: 'mallory@example.com', name: JSON.stringify(injected), ...injected }
  // The member that would be the prototype, as JSON can hold it.
  const raw = JSON.stringify(json).replace('{', '{"__proto__":{"id":"victim","sub":"victim"},')
  const signedUp = await ask(url, 'POST', signUpPath, { raw })
  assert.equal(signedUp.status, 200)
  assert.deepEqual(Object.keys(signedUp.body.user).toSorted(), [
    'createdAt',
    'email',
    'emailVerified',
    'id',
    'image',
    'name',
    'updatedAt',
  ])
  assert.match(signedUp.body.user.id, /^[A-Za-z0-9]{32}$/)
  assert.equal(signedUp.body.user.emailVerified, false)
  assert.ok(Date.parse(signedUp.body.user.createdAt) > Date.now() - 60_000)
  const headers = { authorization: `Bearer ${signedUp.body.token}` }
  await ask(url, 'POST', '/api/auth/update-user', { headers, json: { name: 'x', ...injected } })
  const { body } = await ask(url, 'GET', '/api/auth/token', { headers })
  const claims = JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString())
  assert.deepEqual(Object.keys(claims).toSorted(), ['aud', 'exp', 'iat', 'iss', 'sub'])
  assert.equal(claims.sub, signedUp.body.user.id)
  assert.equal(claims.aud, 'backend-core')
  assert.ok(claims.exp <= Date.now() / 1000 + 901)
})

test('an account cannot take another address, nor a NUL as its name', async () => {
  const { bearer, email } = await signUp(service)
  for (const json of [{ email: 'other@example.com' }, { name: '\0' }, { name: 1 }, { image: { a: 1 } }, {}]) {
    const { status } = await ask(url, 'POST', '/api/auth/update-user', { headers: bearer, json })
    assert.equal(status, 400, JSON.stringify(json))
  }
  const { body } = await ask(url, 'GET', '/api/auth/get-session', { headers: bearer })
  assert.deepEqual([body.user.email, body.user.name], [email, 'Ada'])
})

test('a token of session that is a name of another thing is no session', async () => {
  for (const credential of [
    '__proto__',
    'null',
    '%',
    '%00',
    '.',
    '..',
    'a.b',
    'ü',
    "' or 1=1 --",
    repeat(12_000),
  ]) {
    const headers = {
      authorization: `Bearer ${encodeURI(credential)}`,
      cookie: `better-auth.session_token=${encodeURI(credential)}`,
    }
    const session = await ask(url, 'GET', '/api/auth/get-session', { headers })
    assert.ok(
      session.status === 200 || session.status === 431,
      `${credential.slice(0, 20)}: ${session.status}`,
    )
    if (session.status === 200) assert.equal(session.body, null)
  }
})

test('deep nesting in a field that nobody asked for is passed over', async () => {
  const { bearer } = await signUp(service)
  const deep = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`
  for (const member of ['other', 'callbackURL', 'name', 'image']) {
    const raw = `{"name":"x","${member}":${deep}}`
    const { status } = await ask(url, 'POST', '/api/auth/update-user', { headers: bearer, raw })
    assert.equal(status, member === 'other' ? 200 : 400, member)
  }
})

test('odd queries change nothing', async () => {
  const { bearer, userId } = await signUp(service)
  for (const query of [
    '?',
    '??',
    '?disableRefresh=1&disableRefresh=2',
    '?__proto__=1',
    '?a[b]=c',
    '?%F0%9F%A6%94',
  ]) {
    const { status, body } = await ask(url, 'GET', `/api/auth/get-session${query}`, { headers: bearer })
    assert.ok(status === 200 || status === 400, `${query}: ${status}`)
    if (status === 200) assert.equal(body.user.id, userId)
  }
})

test('nothing that was sent is in the log: no address, password, session, cookie or token', async () => {
  const account = await signUp(service)
  const { authorization } = await tokenOf(service, account)
  const agent = { 'user-agent': 'curl/secret-agent' }
  const again = { ...account, name: 'secret-name' }
  await ask(url, 'POST', signUpPath, { json: again, headers: agent })
  await ask(url, 'POST', '/api/auth/sign-in/email', { json: { ...account, password: 'secret-password' } })
  const signedIn = await ask(url, 'POST', '/api/auth/sign-in/email', { json: account })
  const [cookie = ''] = signedIn.headers.getSetCookie()
  const headers = { cookie, origin: 'https://secret-origin.example' }
  await ask(url, 'POST', '/api/auth/sign-out', { headers, json: {} })
  await ask(url, 'POST', '/api/auth/sign-in/email', {
    json: { ...account, callbackURL: 'https://secret-callback' },
  })
  await ask(url, 'GET', '/api/auth/get-session?secret-query=1', { headers: account.bearer })
  const text = logs.map((line) => JSON.stringify(line)).join('\n')
  assert.match(text, /"accounts: Invalid password"/)
  assert.match(text, /"accounts: Invalid origin"/)
  for (const secret of [
    account.email.split('@')[0] ?? '',
    account.password,
    account.session,
    authorization.slice(7),
    signedIn.headers.get('set-auth-token') ?? '-',
    cookie.split(/[=;]/)[1] ?? '-',
    'secret-',
    good.password,
  ]) {
    assert.ok(!text.includes(secret), secret)
  }
})

test('every request has one line with method, route, status and duration', async () => {
  const before = logs.length
  await ask(url, 'GET', '/api/auth/jwks?x=1')
  const lines = logs.slice(before).filter(({ msg }) => msg === 'request')
  assert.equal(lines.length, 1)
  assert.deepEqual([lines[0]?.method, lines[0]?.route, lines[0]?.status], ['GET', '/api/auth/jwks', 200])
  assert.equal(typeof lines[0]?.duration_ms, 'number')
})
