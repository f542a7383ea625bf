import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, randomBytes, sign as signAsymmetric } from 'node:crypto'
import { test } from 'node:test'
import { readBearerToken } from '../../src/auth/bearer.ts'
import { assertAccepted, assertRefused, encodePart, nowS, secret, sign } from './tokens.ts'

/*
 * What a Better Auth front end holds, made by hand in the shape that better-auth 1.7.25 gives it. All of it is
 * made for the user below, and with the right key: only what is an access token may pass.
 */
const user = {
  id: 'vT3k9QmX2bLw7RzYcH5nJp8sDf1aGe4u',
  name: 'Ada',
  email: 'ada@example.com',
  emailVerified: true,
  image: null,
  createdAt: '2026-11-01T00:00:00.000Z',
  updatedAt: '2026-11-01T00:00:00.000Z',
}
const sessionToken = 'Qm7Zx2Lp9Wc4Rv8Tn1Yb6Kd3Hs5Jf0Ga'
const session = {
  id: 'Zk2Xv9Cb7Nm4Qw8Er1Ty6Ui3Op5As0Df',
  token: sessionToken,
  userId: user.id,
  expiresAt: '2027-01-22T08:00:00.000Z',
  ipAddress: '',
  userAgent: 'curl',
}
const origin = 'http://localhost:3000'
const iat = nowS - 1

function signEdDsa(header: object, claims: object): string {
  const input = `${encodePart(header)}.${encodePart(claims)}`
  const { privateKey } = generateKeyPairSync('ed25519')
  return `${input}.${signAsymmetric(undefined, Buffer.from(input), privateKey).toString('base64url')}`
}

test('A, the token of the jwt plugin, is refused as long as no issuer is configured', () => {
  const claims = { iat, exp: iat + 900, iss: origin, aud: origin, sub: user.id, ...user }
  assertRefused(
    signEdDsa({ alg: 'EdDSA', kid: 'x0Kq3Lm8Vb2Nc7Zd5Fg1Hj9Pw4Rt6Ys' }, claims),
    /"alg" does not belong/,
  )
})

test('B, a token of an own route with sub, is accepted', () => {
  assertAccepted(sign({ alg: 'HS256' }, { sub: user.id, email: user.email, iat, exp: iat + 3600 }), user.id)
})

test('B with user_id in place of sub is accepted', () => {
  assertAccepted(sign({ alg: 'HS256', typ: 'JWT' }, { user_id: user.id, iat, exp: iat + 3600 }), user.id)
})

test('B with id in place of sub, the whole user as claims, is accepted', () => {
  assertAccepted(sign({ alg: 'HS256', typ: 'JWT' }, { ...user, iat, exp: iat + 3600 }), user.id)
})

test('B from the sign callback of the jwt plugin, with issuer and audience, is accepted', () => {
  const claims = { iat, exp: iat + 900, iss: origin, aud: [origin], sub: user.id, ...user }
  assertAccepted(sign({ alg: 'HS256', typ: 'JWT', kid: '1' }, claims), user.id)
})

test('C, the session cookie as a JWT, is refused', () => {
  const claims = { session, user, updatedAt: nowS * 1000, version: '1', iat, exp: iat + 300 }
  assertRefused(sign({ alg: 'HS256' }, claims), /no claim names the user/)
})

test('D, the session cookie as a JWE, is refused', () => {
  const header = encodePart({ alg: 'dir', enc: 'A256CBC-HS512', kid: randomBytes(32).toString('base64url') })
  const [iv, text, tag] = [16, 400, 32].map((length) => randomBytes(length).toString('base64url'))
  assertRefused(`${header}..${iv}.${text}.${tag}`, /three parts/)
})

test('E, the session cookie in its default form, is refused', () => {
  const cookie = {
    session: { session, user, updatedAt: nowS * 1000, version: '1' },
    expiresAt: (nowS + 300) * 1000,
  }
  const signature = createHmac('sha256', secret).update(JSON.stringify(cookie)).digest('base64url')
  assertRefused(encodePart({ ...cookie, signature }), /three parts/)
})

test('F, the session cookie signed with the keys of the jwt plugin, is refused', () => {
  const header = { alg: 'EdDSA', kid: '1', typ: 'better-auth.session-cache+jwt' }
  const times = { iat, exp: iat + 300 }
  const claims = {
    session,
    user,
    sid: sessionToken,
    iss: origin,
    aud: 'better-auth:session-cache',
    sub: user.id,
  }
  assertRefused(signEdDsa(header, { ...claims, ...times }), /"typ"/)
})

test('F is refused by its type and by its audience, though it be signed with the secret', () => {
  const claims = { session, user, sid: sessionToken, sub: user.id, iat, exp: iat + 300 }
  assertRefused(sign({ alg: 'HS256', typ: 'better-auth.session-cache+jwt' }, claims), /"typ"/)
  assertRefused(sign({ alg: 'HS256' }, { ...claims, aud: 'better-auth:session-cache' }), /"aud"/)
})

test('G, a raw session token, is refused', () => {
  assertRefused(sessionToken, /three parts/)
})

test('H, a signed session token, is refused, as it is in the cookie and decoded', () => {
  const signed = `${sessionToken}.${createHmac('sha256', secret).update(sessionToken).digest('base64')}`
  assert.equal(signed.length, 32 + 1 + 44)
  assertRefused(signed, /three parts/)
  assertRefused(encodeURIComponent(signed), /three parts/)
})

test('I, an e-mail verification link, is refused', () => {
  const claims = { email: user.email, userId: user.id, iat, exp: iat + 3600 }
  assertRefused(sign({ alg: 'HS256' }, claims), /no claim names the user/)
  assertRefused(sign({ alg: 'HS256' }, { ...claims, updateTo: 'new@example.com' }), /no claim names the user/)
})

test('a cookie sent as a bearer is refused as invalid', () => {
  const token = readBearerToken(`Bearer better-auth.session_token=${sessionToken}`)
  assert.ok(token !== undefined)
  assertRefused(token, /three parts/)
})
