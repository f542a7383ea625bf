import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import type { BetterAuthOptions } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { type JwtOptions, jwt } from 'better-auth/plugins/jwt'
import { SignJWT } from 'jose'
import { fetchJwks } from '../../src/auth/jwks-fetch.ts'
import { KeySet } from '../../src/auth/key-set.ts'
import { parseSecretList } from '../../src/auth/secret-list.ts'
import { createVerifier, type Verifier } from '../../src/auth/verifier.ts'
import { loadConfig } from '../../src/config.ts'
import { betterAuthSecret, type RealBetterAuth, startSite } from './better-auth.ts'
import { judge } from './signers.ts'

/*
 * Every credential that a Better Auth 1.7 front end hands out, made by better-auth itself, against a verifier that is
 * configured as main.ts does it.
 */
type KeyPairConfig = NonNullable<NonNullable<JwtOptions['jwks']>['keyPairConfig']>
const keyPairs: readonly KeyPairConfig[] = [
  { alg: 'EdDSA' },
  { alg: 'ES256' },
  { alg: 'ES512' },
  { alg: 'RS256' },
  { alg: 'PS256' },
]

/** The service's verifier of a front end at this address: with its keys, with the secret, or with both. */
function verifierFor(baseUrl: string, use: 'keys' | 'secret' | 'both' = 'both'): Verifier {
  const { issuer, secrets, secret, clockToleranceS } = loadConfig({
    ...(use !== 'secret' && { BETTER_AUTH_URL: baseUrl }),
    ...(use !== 'keys' && { BETTER_AUTH_SECRET: betterAuthSecret }),
  })
  const keys = new KeySet({ load: (signal) => fetchJwks(issuer?.jwksUrl ?? '', signal) })
  return createVerifier({
    secrets: secret === undefined ? secrets : [...secrets, secret],
    ...(issuer && { jwks: { ...issuer, keys } }),
    clockToleranceS,
  })
}

async function assertRefusedByAll(
  origin: string,
  credential: string | undefined,
  reason: RegExp,
): Promise<void> {
  assert.ok(credential !== undefined && credential.length > 20)
  for (const use of ['keys', 'secret', 'both'] as const) {
    assert.match(await judge(verifierFor(origin, use), credential), reason, use)
  }
}

const headerOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())

function cachedSession(strategy: 'jwt' | 'jwe' | 'compact'): Partial<BetterAuthOptions> {
  return { session: { cookieCache: { enabled: true, strategy } } }
}

for (const keyPairConfig of keyPairs) {
  const { alg } = keyPairConfig
  const jwks = { keyPairConfig }

  test(`${alg}: A, the token of the jwt plugin, is accepted with the issuer's keys and refused without`, async () => {
    const { origin, open } = await startSite()
    const real = await open({ plugins: [jwt({ jwks })] })
    for (const token of [await real.fetchToken(), await real.fetchHeaderToken()]) {
      assert.equal(headerOf(token).alg, alg)
      assert.equal(await judge(verifierFor(origin), token), `accepted: ${real.userId}`)
      assert.equal(await judge(verifierFor(origin, 'keys'), token), `accepted: ${real.userId}`)
      assert.match(await judge(verifierFor(origin, 'secret'), token), /"alg" does not belong/)
    }
  })

  test(`${alg}: B, HS256 from the plugin's sign callback, is accepted with the secret and refused without`, async () => {
    const { origin, open } = await startSite()
    const sign = (claims: Record<string, unknown>) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .sign(new TextEncoder().encode(betterAuthSecret))
    const remoteUrl = `${origin}/keys`
    const real = await open({ plugins: [jwt({ jwks: { ...jwks, remoteUrl }, jwt: { sign } })] })
    const token = await real.fetchToken()
    assert.equal(await judge(verifierFor(origin), token), `accepted: ${real.userId}`)
    assert.equal(await judge(verifierFor(origin, 'secret'), token), `accepted: ${real.userId}`)
    assert.match(await judge(verifierFor(origin, 'keys'), token), /"alg" does not belong/)
  })

  test(`${alg}: C, the session cookie as a JWT, is refused`, async () => {
    const { origin, open } = await startSite()
    const real = await open({ ...cachedSession('jwt'), plugins: [jwt({ jwks })] })
    await real.fetchToken()
    const cookie = real.cookies.get('better-auth.session_data')
    assert.equal(headerOf(cookie ?? '').alg, 'HS256')
    await assertRefusedByAll(origin, cookie, /no claim names the user|"alg" does not belong/)
  })

  test(`${alg}: D, the session cookie as a JWE, is refused`, async () => {
    const { origin, open } = await startSite()
    const real = await open({ ...cachedSession('jwe'), plugins: [jwt({ jwks })] })
    const cookie = real.cookies.get('better-auth.session_data')
    assert.equal(headerOf(cookie ?? '').alg, 'dir')
    await assertRefusedByAll(origin, cookie, /three parts/)
  })

  test(`${alg}: F, the session cookie signed with the issuer's keys, is refused`, async () => {
    const { origin, open } = await startSite()
    const real = await open({ ...cachedSession('jwt'), plugins: [jwt({ jwks, sessionCookieCache: true })] })
    const cookie = real.cookies.get('better-auth.session_data')
    const { alg: used, typ } = headerOf(cookie ?? '')
    assert.deepEqual([used, typ], [alg, 'better-auth.session-cache+jwt'])
    await assertRefusedByAll(origin, cookie, /"typ" is neither/)
    assert.equal(await judge(verifierFor(origin), await real.fetchToken()), `accepted: ${real.userId}`)
  })

  test(`${alg}: G and H, the session token raw and signed, and I, the verification link, are refused`, async () => {
    const { origin, open } = await startSite()
    const real = await open({ plugins: [jwt({ jwks })] })
    const signed = real.cookies.get('better-auth.session_token') ?? ''
    assert.equal(real.sessionToken.length, 32)
    assert.equal(signed.length, 32 + 1 + 44)
    for (const credential of [real.sessionToken, signed, encodeURIComponent(signed)]) {
      await assertRefusedByAll(origin, credential, /three parts/)
    }
    assert.equal(headerOf(real.verificationToken).alg, 'HS256')
    await assertRefusedByAll(origin, real.verificationToken, /no claim names the user|"alg" does not belong/)
  })

  test(`${alg}: after a rotation the new key's token is accepted at once, and the old one's still`, async () => {
    const { origin, open } = await startSite()
    const real = await open({ plugins: [jwt({ jwks: { ...jwks, rotationInterval: 1 } })] })
    const verifier = verifierFor(origin)
    const before = await real.fetchToken()
    assert.equal(await judge(verifier, before), `accepted: ${real.userId}`)
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const after = await real.fetchToken()
    assert.notEqual(headerOf(after).kid, headerOf(before).kid)
    assert.equal(await judge(verifier, after), `accepted: ${real.userId}`)
    assert.equal(await judge(verifierFor(origin), before), `accepted: ${real.userId}`)
  })
}

test('E, the session cookie in its default form, is refused', async () => {
  const { origin, open } = await startSite()
  for (const options of [cachedSession('compact'), { session: { cookieCache: { enabled: true } } }]) {
    const real = await open({ ...options, plugins: [jwt()] })
    await assertRefusedByAll(origin, real.cookies.get('better-auth.session_data'), /three parts/)
  }
})

test('A for another issuer or audience, with the same keys, is refused', async () => {
  const { origin, open } = await startSite()
  for (const [name, claim] of [
    ['issuer', 'iss'],
    ['audience', 'aud'],
  ] as const) {
    const real = await open({ plugins: [jwt({ jwt: { [name]: 'https://other.example' } })] })
    const verdict = await judge(verifierFor(origin), await real.fetchToken())
    assert.match(verdict, new RegExp(`"${claim}" is not the configured`))
  }
})

test('B of an own route is accepted, the user in sub, user_id or id', async () => {
  const { origin, open } = await startSite()
  const { userId } = await open({ plugins: [jwt()] })
  for (const claims of [{ sub: userId }, { user_id: userId }, { id: userId, name: 'Ada' }]) {
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuedAt()
      .setExpirationTime('15m')
      .sign(new TextEncoder().encode(betterAuthSecret))
    assert.equal(await judge(verifierFor(origin), token), `accepted: ${userId}`)
  }
})

test('first calls at the same time, which make a key each, are all accepted', async () => {
  const { origin, open } = await startSite()
  const real = await open({ plugins: [jwt()] })
  const verifier = verifierFor(origin)
  const tokens = await Promise.all(Array.from({ length: 6 }, () => real.fetchToken()))
  assert.ok(new Set(tokens.map((token) => headerOf(token).kid)).size > 1)
  for (const token of tokens) assert.equal(await judge(verifier, token), `accepted: ${real.userId}`)
})

test('a database that was reset, with the same name for a new key, is noticed', async () => {
  const { origin, open } = await startSite()
  const options = () => ({ advanced: { database: { generateId: 'serial' as const } }, plugins: [jwt()] })
  const verifier = verifierFor(origin)
  const before = await open(options())
  const old = await before.fetchToken()
  assert.deepEqual([headerOf(old).kid, before.userId], ['1', '1'])
  assert.equal(await judge(verifier, old), 'accepted: 1')
  const afterReset = await open(options())
  const token = await afterReset.fetchToken()
  assert.equal(headerOf(token).kid, '1')
  assert.equal(await judge(verifier, token), 'accepted: 1')
  assert.match(await judge(verifier, old), /signature does not match/)
})

test('with UUIDs as ids the user is the UUID', async () => {
  const { origin, open } = await startSite()
  const real = await open({ advanced: { database: { generateId: 'uuid' } }, plugins: [jwt()] })
  assert.match(real.userId, /^[0-9a-f-]{36}$/)
  assert.equal(await judge(verifierFor(origin), await real.fetchToken()), `accepted: ${real.userId}`)
})

test('with a path in its base URL the keys are below it, and tokens name the origin', async () => {
  const { origin, open } = await startSite()
  for (const path of ['/auth', '/a/b/', '/']) {
    const real = await open({ baseURL: `${origin}${path}`, plugins: [jwt()] })
    assert.equal(
      await judge(verifierFor(`${origin}${path}`), await real.fetchToken()),
      `accepted: ${real.userId}`,
    )
  }
})

test('a user who may write a field named aud or iss cannot make a token for another audience', async () => {
  const { origin, open } = await startSite()
  for (const name of ['aud', 'iss']) {
    const additionalFields = { [name]: { type: 'string' as const, required: false } }
    const real = await open(
      { user: { additionalFields }, plugins: [jwt()] },
      { [name]: 'https://other.example' },
    )
    assert.match(
      await judge(verifierFor(origin), await real.fetchToken()),
      new RegExp(`"${name}" is not the configured`),
    )
  }
})

test('a token that a long name has made too large is refused', async () => {
  const { origin, open } = await startSite()
  const real = await open({ plugins: [jwt()] }, { name: 'x'.repeat(20_000) })
  assert.match(await judge(verifierFor(origin), await real.fetchToken()), /longer than 8192/)
})

test("options of tutorials that the plugin ignores change nothing: it is the issuer's key", async () => {
  const { origin, open } = await startSite()
  const options: JwtOptions = {}
  Object.assign(options, { secret: betterAuthSecret, algorithm: 'HS256' })
  const real = await open({ plugins: [jwt(options)] })
  const token = await real.fetchToken()
  assert.equal(headerOf(token).alg, 'EdDSA')
  assert.equal(await judge(verifierFor(origin), token), `accepted: ${real.userId}`)
})

test('a front end without the jwt plugin has no keys: its secret works, other tokens are 503', async () => {
  const { origin, open } = await startSite()
  const real: RealBetterAuth = await open({})
  assert.equal((await real.get('/jwks')).status, 404)
  const verifier = verifierFor(origin)
  const token = await new SignJWT({ sub: real.userId })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('15m')
    .sign(new TextEncoder().encode(betterAuthSecret))
  assert.equal(await judge(verifier, token), `accepted: ${real.userId}`)
  const { privateKey } = generateKeyPairSync('ed25519')
  const foreign = await new SignJWT({ sub: 'x' }).setProtectedHeader({ alg: 'EdDSA' }).sign(privateKey)
  assert.match(await judge(verifier, foreign), /^KEYS_UNAVAILABLE/)
})

test('a list of secrets is read as Better Auth reads it: the first one is the current one', async () => {
  const { betterAuth } = await import('better-auth')
  const older = 'w5Tn8-c2Hy6_AnD-ThIs-Is-the-next-one'
  for (const text of [`2:${betterAuthSecret},1:${older}`, ` 1 : ${older} , 2:${betterAuthSecret}`]) {
    const list = parseSecretList(text)
    assert.ok(list.ok)
    process.env.BETTER_AUTH_SECRETS = text
    const auth = betterAuth({
      baseURL: 'http://localhost',
      database: memoryAdapter({}),
      logger: { disabled: true },
    })
    const { secret } = await auth.$context
    delete process.env.BETTER_AUTH_SECRETS
    assert.equal(secret, list.secrets[0])
  }
})
