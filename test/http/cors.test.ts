import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createRateLimiter } from '../../src/limits/rate-limiter.ts'
import { assertError } from '../support/answers.ts'
import { type Answer, newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { openProxy } from '../support/proxy.ts'

const origin = 'https://app.example.com'
const second = 'http://localhost:3000'
const testDatabase = await createTestDatabase()
const failedTokens = createRateLimiter({ name: 'address', requests: 1_000, windowS: 36_000 })
const service = await startApp({ testDatabase, corsOrigins: [origin, second], limits: { failedTokens } })
const closed = await startApp({ testDatabase })
after(() => testDatabase.drop())
const user = service.as(newUser())

const exposed =
  'ETag, Link, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Idempotency-Replayed'

/** The headers of CORS that an answer has. */
function corsOf({ headers }: Answer): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name.startsWith('access-control-')))
}

function isVaried({ headers }: Answer): boolean {
  return (headers.get('vary') ?? '').split(/, */).some((name) => name.toLowerCase() === 'origin')
}

const preflight = (from: string, method = 'PUT') => ({
  origin: from,
  'access-control-request-method': method,
  'access-control-request-headers': 'authorization,content-type,if-match',
})

test('a preflight of an allowed origin is answered without a token, with what may be sent', async () => {
  const paths = [
    '/api/me/tasks',
    '/api/me/tasks/x',
    '/api/other/tasks',
    '/api/me/nothing',
    '/health',
    '/api/me/%',
  ]
  for (const from of [origin, second]) {
    for (const path of paths) {
      const answer = await service.anonymous().request('OPTIONS', path, { headers: preflight(from) })
      assert.deepEqual([answer.status, answer.text], [204, ''], path)
      assert.deepEqual(corsOf(answer), {
        'access-control-allow-origin': from,
        'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
        'access-control-allow-headers':
          'Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, X-Request-Id, Last-Event-ID, Confirm',
        'access-control-max-age': '7200',
      })
      assert.ok(isVaried(answer))
      assert.equal(answer.headers.get('ratelimit'), null, 'it counts for no limit')
      assert.match(answer.headers.get('x-request-id') ?? '', /./)
    }
  }
})

const strangers = [
  'https://evil.example',
  'https://app.example.com.evil.example',
  'https://evil-app.example.com',
  'https://sub.app.example.com',
  'http://app.example.com',
  'https://app.example.com:8443',
  'https://app.example.com:443',
  'https://APP.example.com',
  'https://app.example.com/',
  'https://app.example.com, https://evil.example',
  `${origin} ${second}`,
  'http://localhost:3001',
  'http://127.0.0.1:3000',
  'null',
  '*',
]
for (const stranger of strangers) {
  test(`${stranger} is not allowed: its preflight is an OPTIONS like any other, and no page can read answers`, async () => {
    const headers = preflight(stranger)
    const refused = await service.anonymous().request('OPTIONS', '/api/me/tasks', { headers })
    assertError(refused, 401, 'TOKEN_MISSING')
    const signedIn = await user.request('OPTIONS', '/api/me/tasks', { headers })
    assertError(signedIn, 405, 'METHOD_NOT_ALLOWED')
    const simple = await user.get('/api/me/tasks', { origin: stranger })
    assert.equal(simple.status, 200, 'whoever is not a browser says what it likes')
    for (const answer of [refused, signedIn, simple]) {
      assert.deepEqual(corsOf(answer), {})
      assert.ok(isVaried(answer))
    }
  })
}

test('answers to an allowed origin let its pages read them, errors too', async () => {
  const from = { origin }
  const { headers } = await user.post('/api/me/tasks', { title: 'x' }, from)
  const path = headers.get('location') ?? ''
  const answers = [
    await user.get(path, from),
    await user.get(path, { ...from, 'if-none-match': headers.get('etag') ?? '' }),
    await service.anonymous().get(path, from),
    await service.anonymous('Bearer x').get(path, from),
    await user.get('/api/other/tasks', from),
    await user.get('/api/me/nothing', from),
    await user.put('/api/me/tasks', {}, from),
    await user.get('/api/me/tasks/%', from),
    await user.put(path, { title: 'y' }, { ...from, 'if-match': '"999999"' }),
    await user.post('/api/me/tasks', { title: 'x'.repeat(1_100_000) }, from),
    await user.post('/api/me/tasks', {}, { ...from, 'content-type': 'text/plain' }),
    await user.post('/api/me/tasks', {}, from),
    await service.anonymous().get('/health', from),
    await service.anonymous().get('/openapi.json', from),
  ]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 304, 401, 401, 403, 404, 405, 400, 412, 413, 415, 422, 200, 200],
  )
  for (const answer of answers) {
    assert.deepEqual(corsOf(answer), {
      'access-control-allow-origin': origin,
      'access-control-expose-headers': exposed,
    })
    assert.ok(isVaried(answer))
  }
})

test('429 and 503 can be read as well', async () => {
  const one = createRateLimiter({ name: 'address', requests: 1, windowS: 36_000 })
  const proxy = await openProxy(testDatabase.connection)
  const connection = { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port }
  const limited = await startApp({
    testDatabase: { ...testDatabase, connection },
    corsOrigins: [origin],
    limits: { failedTokens: one },
  })
  await limited.anonymous('Bearer x').get('/api/me/tasks', { origin })
  const refused = await limited.anonymous('Bearer x').get('/api/me/tasks', { origin })
  assertError(refused, 429, 'RATE_LIMITED')
  assert.equal(corsOf(refused)['access-control-allow-origin'], origin)
  const again = await limited.anonymous().request('OPTIONS', '/api/me/tasks', { headers: preflight(origin) })
  assert.equal(again.status, 204, 'a preflight is answered all the same')
  const visitor = limited.as(newUser())
  proxy.refuse()
  const away = await visitor.get('/ready', { origin })
  await limited.stop()
  await proxy.close()
  assertError(away, 503, 'NOT_READY', [['', 'missing']])
  assert.equal(corsOf(away)['access-control-allow-origin'], origin)
})

test('an OPTIONS of an allowed origin that is no preflight is an OPTIONS like any other', async () => {
  const answer = await user.request('OPTIONS', '/api/me/tasks', { headers: { origin } })
  assertError(answer, 405, 'METHOD_NOT_ALLOWED')
  assert.equal(corsOf(answer)['access-control-allow-origin'], origin)
})

test('without an Origin there is only Vary, so that no cache gives the answer to a page', async () => {
  const answer = await user.get('/api/me/tasks')
  assert.deepEqual(corsOf(answer), {})
  assert.ok(isVaried(answer))
})

test('a style sheet of the docs, which varies by encoding, still varies by origin', async () => {
  assert.ok(isVaried(await service.anonymous().get('/docs/static/swagger-ui.css')))
})

test('with no origins there is no CORS at all', async () => {
  const headers = preflight(origin)
  const refused = await closed.anonymous().request('OPTIONS', '/api/me/tasks', { headers })
  assertError(refused, 401, 'TOKEN_MISSING')
  const simple = await closed.as(newUser()).get('/api/me/tasks', { origin })
  assert.equal(simple.status, 200)
  for (const answer of [refused, simple]) {
    assert.deepEqual(corsOf(answer), {})
    assert.ok(!isVaried(answer))
  }
})

test('streams can be read by pages too: changes as they are made, and an export', async () => {
  const limits = { user: createRateLimiter({ name: 'user', requests: 1_000, windowS: 36_000 }) }
  const streaming = await startApp({ testDatabase, corsOrigins: [origin], limits })
  const { token } = streaming.as(newUser())
  for (const [path, type] of [
    ['/api/me/changes/stream', 'text/event-stream'],
    ['/api/me/export', 'application/x-ndjson'],
  ] as const) {
    const abort = new AbortController()
    const { status, headers } = await fetch(`${streaming.url}${path}`, {
      headers: { authorization: `Bearer ${token}`, origin },
      signal: abort.signal,
    })
    assert.equal(status, 200, path)
    assert.ok(headers.get('content-type')?.startsWith(type), path)
    assert.equal(headers.get('access-control-allow-origin'), origin, path)
    assert.equal(headers.get('access-control-expose-headers'), exposed, path)
    assert.equal(headers.get('vary'), 'Origin', path)
    assert.equal(headers.get('ratelimit-policy'), '"user";q=1000;w=36000', path)
    assert.match(headers.get('ratelimit') ?? '', /^"user";r=99[89];t=\d+$/, path)
    assert.equal(headers.get('x-content-type-options'), 'nosniff', path)
    assert.equal(headers.get('content-security-policy'), "default-src 'none'; frame-ancestors 'none'", path)
    assert.match(headers.get('x-request-id') ?? '', /./, path)
    abort.abort()
  }
})
