import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { loadConfig } from '../src/config.ts'
import { problemsOf } from './support/config-problems.ts'
import { createTestDatabase } from './support/database.ts'
import { addressOf, startService, temporaryFolder } from './support/process.ts'

// The settings of what stands between clients and the service: how they are read, and that the service goes by them.

test('CORS_ORIGINS are read as browsers send them, each once', () => {
  const text = 'https://App.Example:443/, http://localhost:3000,https://app.example ,http://[::1]:5173'
  assert.deepEqual(loadConfig({ CORS_ORIGINS: text }).corsOrigins, [
    'https://app.example',
    'http://localhost:3000',
    'http://[::1]:5173',
  ])
})

test('every bad entry of CORS_ORIGINS is reported, by its place', () => {
  const bad = [
    '*',
    '',
    'app.example',
    'https://app.example/a',
    'https://*.example/',
    'null',
    'https://a.example b',
  ]
  for (const entry of bad) {
    const [problem = '', ...more] = problemsOf({ CORS_ORIGINS: `https://good.example,${entry}` })
    assert.match(problem, /^CORS_ORIGINS: entry 2/, entry)
    assert.deepEqual(more, [])
  }
  assert.match(problemsOf({ CORS_ORIGINS: '*' })[0] ?? '', /has a \*: name each origin/)
  assert.equal(problemsOf({ CORS_ORIGINS: '*,,x' }).length, 3)
})

test('TRUST_PROXY is a number of proxies or a list of their addresses', () => {
  assert.equal(loadConfig({ TRUST_PROXY: '1' }).trustProxy, 1)
  assert.deepEqual(loadConfig({ TRUST_PROXY: '10.0.0.1, 10.1.0.0/16,::1,fd00::/8,loopback' }).trustProxy, [
    '10.0.0.1',
    '10.1.0.0/16',
    '::1',
    'fd00::/8',
    'loopback',
  ])
})

for (const text of [
  '0',
  '17',
  '-1',
  '1.5',
  'true',
  'yes',
  '*',
  '10.0.0.0/0',
  '::/0',
  '10.0.0.0/33',
  '::/129',
]) {
  test(`TRUST_PROXY ${text} is refused`, () => {
    assert.match(problemsOf({ TRUST_PROXY: text }).join('\n'), /^TRUST_PROXY: [^\n]+$/)
  })
}

test('every bad entry of TRUST_PROXY is reported, by its place', () => {
  const entries = [
    '10.0.0.1',
    '10.0.0',
    '10.0.0.0/8/8',
    'proxy.example',
    '',
    'fe80::1%eth0',
    '10.0.0.1:80',
    '2',
  ]
  assert.deepEqual(
    problemsOf({ TRUST_PROXY: entries.join(',') }).map((problem) => problem.split(' ', 3).join(' ')),
    [2, 3, 4, 5, 6, 7, 8].map((entry) => `TRUST_PROXY: entry ${entry}`),
  )
})

test('RATE_LIMIT_REDIS_URL is the address of a Redis', () => {
  const good = [
    'redis://127.0.0.1',
    'redis://:p@redis:6379/0',
    'rediss://u:p@redis.example:6380/15',
    'redis://[::1]/',
  ]
  for (const text of good) assert.equal(loadConfig({ RATE_LIMIT_REDIS_URL: text }).rateLimitRedisUrl, text)
  const bad = [
    'redis',
    'localhost:6379',
    'http://redis',
    'redis://',
    'redis:///0',
    'redis://redis/name',
    'redis://r?a=b',
  ]
  for (const text of bad) {
    const [problem = ''] = problemsOf({ RATE_LIMIT_REDIS_URL: text })
    assert.match(problem, /^RATE_LIMIT_REDIS_URL: must be an address such as redis:/, text)
  }
})

test('the service as it is started goes by its settings', async () => {
  const testDatabase = await createTestDatabase()
  after(() => testDatabase.drop())
  const origin = 'https://app.example'
  const service = await startService({
    DATABASE_URL: addressOf(testDatabase.connection),
    DATA_DIR: temporaryFolder(),
    CORS_ORIGINS: origin,
    TRUST_PROXY: '1',
    RATE_LIMIT_PER_MINUTE: '2',
  })
  const ask = (path: string, method = 'GET', headers: Record<string, string> = {}, body?: object) =>
    fetch(`${service.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  const guess = (address: string) =>
    ask('/api/me/tasks', 'GET', { authorization: 'Bearer x', 'x-forwarded-for': address, origin })
  const first = await guess('203.0.113.1')
  assert.deepEqual([first.status, first.headers.get('ratelimit-policy')], [401, '"address";q=2;w=60'])
  assert.equal(first.headers.get('access-control-allow-origin'), origin)
  await guess('203.0.113.1')
  assert.equal((await guess('203.0.113.1')).status, 429)
  assert.equal((await guess('203.0.113.2')).status, 401, 'another address')
  const secure = await ask('/health', 'GET', { 'x-forwarded-proto': 'https' })
  assert.ok(secure.headers.has('strict-transport-security'))

  // A page of the allowed origin signs somebody up and acts with the cookie.
  const account = { name: 'Ada', email: 'ada@example.com', password: 'buy-more-milk' }
  const page = { origin, 'x-forwarded-for': '203.0.113.7' }
  const signedUp = await ask('/api/auth/sign-up/email', 'POST', page, account)
  assert.equal(signedUp.status, 200)
  assert.equal(signedUp.headers.get('access-control-allow-origin'), origin)
  assert.equal(signedUp.headers.get('access-control-allow-credentials'), 'true')
  assert.equal(signedUp.headers.get('ratelimit-policy'), '"passwords";q=3;w=10')
  const cookie = signedUp.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const rename = (from: string) =>
    ask('/api/auth/update-user', 'POST', { origin: from, cookie }, { name: 'Renamed' })
  assert.equal((await rename(origin)).status, 200)
  assert.equal((await rename('https://evil.example')).status, 403)
  const sessions = await ask('/api/auth/list-sessions', 'GET', { cookie })
  assert.match(await sessions.text(), /"ipAddress":"203\.0\.113\.7"/)
  assert.equal((await service.end('SIGTERM')).code, 0)
})
