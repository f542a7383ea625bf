import assert from 'node:assert/strict'
import { request } from 'node:http'
import { platform } from 'node:os'
import { test } from 'node:test'
import { passwordRateLimit } from '../../src/accounts/better-auth.ts'
import { ask, startAccounts } from './service.ts'

// Counts belong to the address of the connection, whatever a request says of itself. Each test has an address and a
// route of its own, as the counts of one would end in another.

const service = await startAccounts({ passwordRateLimit })
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
  for (let count = 0; count < passwordRateLimit.max; count++) {
    assert.notEqual((await askFrom(address, path)).status, 429)
  }
  assert.equal((await askFrom(address, path)).status, 429)
}

test('the fourth password within ten seconds is refused, and the answer says when to come back', async () => {
  for (let count = 0; count < 3; count++) {
    assert.equal((await ask(service.url, 'POST', '/api/auth/sign-in/email', { json })).status, 401)
  }
  const refused = await ask(service.url, 'POST', '/api/auth/sign-in/email', { json })
  assert.equal(refused.status, 429)
  assert.match(refused.body.message, /^Too many requests/)
  const seconds = Number(refused.headers.get('retry-after'))
  assert.ok(seconds >= 1 && seconds <= 10)
  const others = await ask(service.url, 'GET', '/api/auth/get-session')
  assert.equal(others.status, 200, 'the limit is that of the route')
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
