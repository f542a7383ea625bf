import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type FakeIssuer, startFakeIssuer } from './auth/fake-issuer.ts'
import { makeSigner, type Signer } from './auth/signers.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { addressOf, runScript, startService } from './support/process.ts'

/* The service as it is started, with an issuer that comes and goes. */
const one = makeSigner('EdDSA', 'one')
const two = makeSigner('ES256', 'two')

let database: TestDatabase
before(async () => {
  database = await createTestDatabase()
})
after(() => database.drop())

function environmentFor(issuer: FakeIssuer): Record<string, string> {
  return { DATABASE_URL: addressOf(database.connection), BETTER_AUTH_URL: new URL(issuer.url).origin }
}

function tokenOf(signer: Signer, issuer: FakeIssuer, claims: object = {}): string {
  const { origin } = new URL(issuer.url)
  const iat = Math.floor(Date.now() / 1000)
  return signer.sign({ sub: 'user-1', iss: origin, aud: origin, iat, exp: iat + 900, ...claims })
}

function get(url: string, token: string): Promise<Response> {
  return fetch(`${url}/api/me/tasks`, { headers: { authorization: `Bearer ${token}` } })
}

test('it starts though the issuer is away, answers 503, and serves as soon as the issuer is there', async () => {
  const issuer = await startFakeIssuer(one)
  await issuer.goAway()
  const service = await startService(environmentFor(issuer))
  const answer = await get(service.url, tokenOf(one, issuer))
  assert.equal(answer.status, 503)
  assert.equal(answer.headers.get('retry-after'), '1')
  assert.equal(answer.headers.get('www-authenticate'), null)
  assert.equal(answer.headers.get('ratelimit'), '"address";r=1200;t=0', 'the token counts for nothing')
  const body = (await answer.json()) as { status: string; error: object }
  assert.deepEqual(body.error, {
    code: 'KEYS_UNAVAILABLE',
    message: "The keys of the token's issuer cannot be had; try again shortly.",
    details: [],
  })
  assert.equal((await fetch(`${service.url}/ready`)).status, 200)
  for (const garbage of ['x', 'a.b.c', 'eyJhbGciOiJIUzI1NiJ9.e30.AAAA']) {
    assert.equal((await get(service.url, garbage)).status, 401)
  }
  await issuer.comeBack()
  await new Promise((resolve) => setTimeout(resolve, 1000))
  assert.equal((await get(service.url, tokenOf(one, issuer))).status, 200)
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('keys are there before the first token; a rotation and an absence are not noticed by users', async () => {
  const issuer = await startFakeIssuer(one)
  const service = await startService(environmentFor(issuer))
  assert.equal((await get(service.url, tokenOf(one, issuer))).status, 200)
  assert.equal(issuer.requests.length, 1)
  issuer.signers = [one, two]
  assert.equal((await get(service.url, tokenOf(two, issuer))).status, 200)
  assert.equal((await get(service.url, tokenOf(one, issuer, { jti: 'again' }))).status, 200)
  assert.equal(issuer.requests.length, 2)
  await issuer.goAway()
  for (const [signer, status] of [
    [one, 200],
    [two, 200],
    [makeSigner('EdDSA', 'three'), 401],
    [makeSigner('EdDSA', 'one'), 401],
  ] as const) {
    assert.equal((await get(service.url, tokenOf(signer, issuer, { jti: 'away' }))).status, status)
  }
  const { code, stdout } = await service.end('SIGTERM')
  assert.equal(code, 0)
  const lines = stdout.split('\n').filter((line) => line.includes('keys of the issuer'))
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ type, added, removed }) => [type, added, removed]),
    [
      ['fetched', 1, 0],
      ['fetched', 1, 0],
    ],
  )
  for (const { jwk } of [one, two]) assert.ok(!stdout.includes(String(jwk.x)))
})

test('with a secret too, tokens of both are accepted, and the secret needs no issuer', async () => {
  const issuer = await startFakeIssuer(one)
  const [newer, older] = ['q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more', 'w5Tn8-c2Hy6_AnD-ThIs-Is-the-next-one']
  const environment = { ...environmentFor(issuer), BETTER_AUTH_SECRETS: `2:${newer},1:${older}` }
  const service = await startService(environment)
  assert.equal((await get(service.url, tokenOf(one, issuer))).status, 200)
  await issuer.goAway()
  for (const secret of [newer, older]) {
    const token = await runScript('src/cli/token.ts', ['user-1'], { BETTER_AUTH_SECRET: secret })
    assert.equal((await get(service.url, token.stdout.trim())).status, 200)
  }
  const current = await runScript('src/cli/token.ts', ['user-1'], environment)
  const single = await runScript('src/cli/token.ts', ['user-1'], { BETTER_AUTH_SECRET: newer })
  assert.equal(current.stdout.split('.')[0], single.stdout.split('.')[0])
  assert.equal((await get(service.url, current.stdout.trim())).status, 200)
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('a stop does not wait for an issuer that stalls', async () => {
  const issuer = await startFakeIssuer(one)
  issuer.answer = () => {}
  const service = await startService(environmentFor(issuer))
  const waiting = get(service.url, tokenOf(one, issuer)).then(({ status }) => status)
  await new Promise((resolve) => setTimeout(resolve, 200))
  const startedAt = performance.now()
  const { code } = await service.end('SIGTERM')
  assert.equal(code, 0)
  assert.ok(performance.now() - startedAt < 4500)
  assert.equal(await waiting, 503)
})

test('without a secret the token command says where tokens come from', async () => {
  const { code, stderr } = await runScript('src/cli/token.ts', ['user-1'], {
    BETTER_AUTH_URL: 'https://app.example',
  })
  assert.equal(code, 1)
  assert.match(stderr, /^There is no secret to sign with: tokens come from the issuer\.[^\n]*\n$/)
})
