import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createRateLimiter } from '../../src/limits/rate-limiter.ts'
import { assertError, logLinesOf } from '../support/answers.ts'
import { startApp, type TestService } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'

const testDatabase = await createTestDatabase()
const untrusting = await startApp({ testDatabase })
const oneHop = await startApp({ testDatabase, trustProxy: 1 })
const twoHops = await startApp({ testDatabase, trustProxy: 2 })
const listed = await startApp({ testDatabase, trustProxy: ['127.0.0.1', '10.0.0.0/8', '2001:db8:1::/48'] })
const elsewhere = await startApp({ testDatabase, trustProxy: ['192.0.2.1'] })
after(() => testDatabase.drop())

/** The address that a request with these headers is logged under. */
async function loggedAddress(service: TestService, headers: Record<string, string>): Promise<unknown> {
  const answer = await service.anonymous().get('/health', headers)
  const [line] = await logLinesOf(service, answer.headers.get('x-request-id'))
  return line?.client_address
}

const forwarded = (value: string) => ({ 'x-forwarded-for': value })

test('without TRUST_PROXY no header says where a request comes from', async () => {
  for (const name of [
    'x-forwarded-for',
    'forwarded',
    'x-real-ip',
    'x-client-ip',
    'cf-connecting-ip',
    'true-client-ip',
    'x-client-address',
  ]) {
    for (const value of ['203.0.113.9', 'for=203.0.113.9', '203.0.113.9, 127.0.0.1']) {
      assert.equal(await loggedAddress(untrusting, { [name]: value }), '127.0.0.1', `${name}: ${value}`)
    }
  }
})

test('with one proxy it is the last address of X-Forwarded-For: those before it, anybody may have written', async () => {
  assert.equal(await loggedAddress(oneHop, forwarded('203.0.113.9')), '203.0.113.9')
  assert.equal(await loggedAddress(oneHop, forwarded('198.51.100.1, 203.0.113.9')), '203.0.113.9')
  assert.equal(await loggedAddress(oneHop, forwarded('127.0.0.1, 127.0.0.1, 203.0.113.9')), '203.0.113.9')
  assert.equal(await loggedAddress(oneHop, {}), '127.0.0.1')
})

test('with two proxies it is the last but one', async () => {
  assert.equal(await loggedAddress(twoHops, forwarded('198.51.100.1, 203.0.113.9, 10.0.0.1')), '203.0.113.9')
  assert.equal(await loggedAddress(twoHops, forwarded('203.0.113.9')), '203.0.113.9')
})

test('with listed proxies it is the last address that none of them has', async () => {
  assert.equal(await loggedAddress(listed, forwarded('203.0.113.9')), '203.0.113.9')
  assert.equal(await loggedAddress(listed, forwarded('198.51.100.1, 203.0.113.9, 10.1.2.3')), '203.0.113.9')
  assert.equal(
    await loggedAddress(listed, forwarded('10.9.9.9, 203.0.113.9, 2001:db8:1::5')),
    '203.0.113.9',
    'an address of a proxy, written before the first real one, is not reached',
  )
})

test('a connection from elsewhere than the listed proxies is not believed', async () => {
  assert.equal(await loggedAddress(elsewhere, forwarded('203.0.113.9')), '127.0.0.1')
  assert.equal(await loggedAddress(elsewhere, forwarded('203.0.113.9, 192.0.2.1')), '127.0.0.1')
})

test('no other header is believed behind a proxy either', async () => {
  for (const name of ['forwarded', 'x-real-ip', 'x-client-ip', 'cf-connecting-ip', 'true-client-ip']) {
    assert.equal(await loggedAddress(oneHop, { [name]: '203.0.113.9' }), '127.0.0.1', name)
  }
})

test('addresses are logged in one form; what is none counts as that of the connection', async () => {
  for (const [value, address] of [
    ['203.0.113.9:4711', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['[2001:DB8::9]:4711', '2001:db8::9'],
    ['unknown', '127.0.0.1'],
    ['', '127.0.0.1'],
    [`203.0.113.9${'9'.repeat(3_000)}`, '127.0.0.1'],
    ['203.0.113.9"}', '127.0.0.1'],
  ] as const) {
    assert.equal(await loggedAddress(oneHop, forwarded(value)), address, value)
  }
})

test('X-Forwarded-For gets nobody past the limit of an address without TRUST_PROXY', async () => {
  const failedTokens = createRateLimiter({ name: 'address', requests: 3, windowS: 36_000 })
  const service = await startApp({ testDatabase, limits: { failedTokens } })
  const guess = (address: string) => service.anonymous('Bearer x').get('/api/me/tasks', forwarded(address))
  for (let last = 1; last <= 3; last++) {
    assertError(await guess(`203.0.113.${last}`), 401, 'TOKEN_INVALID')
  }
  for (let last = 4; last <= 8; last++) {
    assertError(await guess(`203.0.113.${last}`), 429, 'RATE_LIMITED')
  }
})

test('behind a proxy it gets nobody past it by addresses that the client adds', async () => {
  const failedTokens = createRateLimiter({ name: 'address', requests: 3, windowS: 36_000 })
  const service = await startApp({ testDatabase, limits: { failedTokens }, trustProxy: 1 })
  const guess = (first: string) =>
    service.anonymous('Bearer x').get('/api/me/tasks', forwarded(`${first}, 203.0.113.50`))
  for (let last = 1; last <= 3; last++) {
    assertError(await guess(`198.51.100.${last}`), 401, 'TOKEN_INVALID')
  }
  assertError(await guess('198.51.100.4'), 429, 'RATE_LIMITED')
  const other = await service.anonymous('Bearer x').get('/api/me/tasks', forwarded('203.0.113.51'))
  assertError(other, 401, 'TOKEN_INVALID')
})
