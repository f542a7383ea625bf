import assert from 'node:assert/strict'
import { request } from 'node:http'
import { platform } from 'node:os'
import { test } from 'node:test'
import { passwordQuota as usualQuota } from '../../src/accounts/limits.ts'
import { createRateLimiter, type Quota } from '../../src/limits/rate-limiter.ts'
import { ask, startAccounts } from './service.ts'

// Counts belong to the address of the connection, whatever a request says of itself. Each test has an address and a
// route of its own, as the counts of one would end in another.

/** As the usual one, in a window that no machine is too slow for. */
const passwordQuota = { ...usualQuota, windowS: 600 }
const service = await startAccounts({ passwordQuota })
const json = { email: 'nobody@example.com', password: 'wrong-one' }
/** All of 127.0.0.0/8 is this machine on Linux; elsewhere it has one address. */
const manyAddresses = platform() === 'linux'

type Sent = { readonly status: number | undefined; readonly retryAfter: string | undefined }

/** Sends a request from one of the machine's own addresses. */
function askFrom(localAddress: string, path: string, headers: Record<string, string> = {}): Promise<Sent> {
  const { hostname, port } = new URL(service.url)
  return new Promise((resolve, reject) => {
    const options = { hostname, port, path, localAddress, method: 'POST', agent: false } as const
    const sent = request(
      { ...options, headers: { 'content-type': 'application/json', ...headers } },
      (answer) => {
        answer.resume()
        answer.on('end', () =>
          resolve({ status: answer.statusCode, retryAfter: answer.headers['retry-after'] }),
        )
      },
    )
    sent.on('error', reject)
    sent.end(JSON.stringify(json))
  })
}

async function exhaust(address: string, path: string): Promise<void> {
  for (let count = 0; count < passwordQuota.requests; count++) {
    assert.notEqual((await askFrom(address, path)).status, 429)
  }
  assert.equal((await askFrom(address, path)).status, 429)
}

test('the usual limits are 3 passwords and 100 other requests in 10 seconds, of the limiters that are given', async () => {
  const quotas: Quota[] = []
  await startAccounts({
    passwordQuota: undefined,
    createLimiter(quota) {
      quotas.push(quota)
      return createRateLimiter(quota)
    },
  })
  assert.deepEqual(quotas, [
    { name: 'passwords', requests: 3, windowS: 10 },
    { name: 'accounts', requests: 100, windowS: 10 },
  ])
})

test('the fourth password within the window is refused, and the answer says when to come back', async () => {
  for (let left = 2; left >= 0; left--) {
    const answer = await ask(service.url, 'POST', '/api/auth/sign-in/email', { json })
    assert.equal(answer.status, 401)
    assert.equal(answer.headers.get('ratelimit-policy'), '"passwords";q=3;w=600')
    assert.match(answer.headers.get('ratelimit') ?? '', new RegExp(`^"passwords";r=${left};t=\\d+$`))
  }
  const refused = await ask(service.url, 'POST', '/api/auth/sign-in/email', { json })
  assert.equal(refused.status, 429)
  assert.equal(refused.body.code, 'RATE_LIMITED')
  assert.match(refused.body.message, /^Too many requests/)
  const seconds = Number(refused.headers.get('retry-after'))
  assert.ok(seconds >= 1 && seconds <= 200, `${seconds}`)
  assert.equal(refused.headers.get('ratelimit'), `"passwords";r=0;t=${seconds}`)
  const others = await ask(service.url, 'GET', '/api/auth/get-session')
  assert.equal(others.status, 200, 'the limit is that of the route')
  assert.equal(others.headers.get('ratelimit-policy'), '"accounts";q=100;w=10')
})

const names = [
  'x-forwarded-for',
  'forwarded',
  'x-real-ip',
  'x-client-ip',
  'x-client-address',
  'x-cluster-client-ip',
  'cf-connecting-ip',
  'true-client-ip',
  'fastly-client-ip',
  'x-vercel-forwarded-for',
  'x-appengine-user-ip',
  'via',
]

test('no header gets past the limit', { skip: !manyAddresses && 'needs more than one address' }, async () => {
  await exhaust('127.0.0.20', '/api/auth/sign-in/email')
  for (const name of names) {
    for (const value of [
      '203.0.113.9',
      '203.0.113.9, 198.51.100.7',
      'for=203.0.113.9',
      '',
      'not an address',
    ]) {
      const { status } = await askFrom('127.0.0.20', '/api/auth/sign-in/email', { [name]: value })
      assert.equal(status, 429, `${name}: ${value}`)
    }
  }
})

test('no header puts the blame on another address', {
  skip: !manyAddresses && 'needs more than one address',
}, async () => {
  for (let count = 0; count < 12; count++) {
    await askFrom('127.0.0.21', '/api/auth/sign-in/email', {
      'x-forwarded-for': '127.0.0.22',
      'x-client-address': '127.0.0.22',
    })
  }
  assert.equal((await askFrom('127.0.0.22', '/api/auth/sign-in/email')).status, 401)
})

test('each address has its own count', {
  skip: !manyAddresses && 'needs more than one address',
}, async () => {
  await exhaust('127.0.0.23', '/api/auth/sign-in/email')
  for (let last = 24; last < 34; last++) {
    assert.equal((await askFrom(`127.0.0.${last}`, '/api/auth/sign-in/email')).status, 401)
  }
})

test('no spelling of a path has a count of its own', {
  skip: !manyAddresses && 'needs more than one address',
}, async () => {
  await exhaust('127.0.0.40', '/api/auth/sign-in/email')
  for (const path of [
    '/api/auth/sign-in/email?x=1',
    '/api/auth/sign-%69n/email',
    '/api/%61uth/sign-in/email',
    '/api/auth/sign-in/email#x',
    '/api/auth/sign-in/email?x=/sign-up/email',
  ]) {
    assert.equal((await askFrom('127.0.0.40', path)).status, 429, path)
  }
  for (const path of [
    '/api/auth/sign-in/email/',
    '/api/auth//sign-in/email',
    '/api/auth/./sign-in/email',
    '/api/auth/x/../sign-in/email',
    '/api/auth/SIGN-IN/email',
    '/api/auth/sign-in%2femail',
  ]) {
    assert.equal((await askFrom('127.0.0.40', path)).status, 404, path)
  }
})

for (const path of ['/api/auth/sign-up/email', '/api/auth/change-password', '/api/auth/delete-user']) {
  test(
    `${path} has the limit of passwords too`,
    {
      skip: !manyAddresses && 'needs more than one address',
    },
    () => exhaust('127.0.0.50', path),
  )
}
