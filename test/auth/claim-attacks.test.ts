import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { assertRefused, noMatch, signerOf, signers, verifier, withSignature } from './attacked.ts'
import { issuer, issuerClaims, judge } from './signers.ts'
import { encodePart, nowS, type Part, signClaims } from './tokens.ts'

/* Claims under a good signature of the issuer's own key. */
const eddsa = signerOf('EdDSA')

async function assertClaimsRefused(claims: Part, reason: RegExp): Promise<void> {
  await assertRefused(eddsa.sign(claims), reason)
}

/** The good claims as JSON text, with one of them written as the given text. */
function withClaim(name: string, text: string): string {
  const { [name]: _, ...others } = { ...issuerClaims } as Record<string, unknown>
  return `${JSON.stringify(others).slice(0, -1)},${JSON.stringify(name)}:${text}}`
}

for (const name of ['exp', 'iss', 'aud', 'sub']) {
  test(`a token without ${name} is refused`, async () => {
    const { [name]: _, ...others } = { ...issuerClaims } as Record<string, unknown>
    await assertClaimsRefused(others, new RegExp(`"${name}" is missing`))
  })
}

for (const name of ['exp', 'nbf', 'iat', 'iss', 'aud', 'sub']) {
  test(`${name} as null, true, 0, "", [], {}, 1e999, a huge number, or there twice, is refused`, async () => {
    const isTime = ['exp', 'nbf', 'iat'].includes(name)
    const wrong = ['null', 'true', 'false', '""', '[]', '{}', '[null]', '1e999', '-1e999', '1e300', '[1e999]']
    for (const text of isTime ? [...wrong, `"${nowS + 60}"`] : [...wrong, '0', '1']) {
      await assertClaimsRefused(withClaim(name, text), new RegExp(`"${name}"`))
    }
    if (name === 'exp')
      assert.match(await judge(verifier, eddsa.sign(withClaim('exp', '0'))), /^TOKEN_EXPIRED/)
    await assertClaimsRefused(withClaim(name, `"a","${name}":"a"`), /twice/)
  })
}

const notTheIssuer = [
  'https://attacker.example',
  `${issuer}/`,
  `${issuer}.attacker.example`,
  issuer.slice(0, -1),
  issuer.toUpperCase(),
  issuer.replace('https', 'http'),
  `${issuer}:443`,
  ` ${issuer}`,
  `${issuer}\0`,
  'app.example',
]

test('an issuer that is another, longer, shorter, or written differently is refused', async () => {
  for (const iss of notTheIssuer)
    await assertClaimsRefused({ ...issuerClaims, iss }, /"iss" is not the configured/)
  for (const iss of [[issuer], [issuer, issuer], { 0: issuer }]) {
    await assertClaimsRefused({ ...issuerClaims, iss }, /"iss" is not a string/)
  }
})

test('an audience that is another, longer, shorter, or written differently is refused, in an array too', async () => {
  for (const aud of [...notTheIssuer, [], notTheIssuer]) {
    await assertClaimsRefused({ ...issuerClaims, aud }, /"aud" is not the configured/)
  }
  for (const aud of [[[issuer]], [issuer, 1], { 0: issuer }]) {
    await assertClaimsRefused({ ...issuerClaims, aud }, /"aud" is neither/)
  }
  await assertClaimsRefused(
    { ...issuerClaims, aud: [issuer, 'better-auth:session-cache'] },
    /another purpose/,
  )
  for (const aud of [[issuer], ['other', issuer]]) {
    assert.equal(await judge(verifier, eddsa.sign({ ...issuerClaims, aud })), 'accepted: user-1')
  }
})

test('exp past, nbf and iat in the future are refused; exp far in the future is not', async () => {
  assert.match(await judge(verifier, eddsa.sign({ ...issuerClaims, exp: nowS - 5 })), /^TOKEN_EXPIRED/)
  assert.equal(await judge(verifier, eddsa.sign({ ...issuerClaims, exp: nowS - 4 })), 'accepted: user-1')
  await assertClaimsRefused({ ...issuerClaims, nbf: nowS + 6 }, /"nbf" is in the future/)
  await assertClaimsRefused({ ...issuerClaims, iat: nowS + 6 }, /"iat" is in the future/)
  assert.equal(await judge(verifier, eddsa.sign({ ...issuerClaims, exp: nowS + 3e9 })), 'accepted: user-1')
})

test('an expired token with a bad signature is invalid, not expired', async () => {
  const expired = eddsa.sign({ ...issuerClaims, exp: nowS - 900 })
  await assertRefused(withSignature(expired, randomBytes(64)), noMatch)
})

test('sub that is empty, too long, or holds a NUL or a lone surrogate is refused', async () => {
  for (const text of ['""', '"a\\u0000b"', '"\\ud800"', `"${'x'.repeat(256)}"`]) {
    await assertClaimsRefused(withClaim('sub', text), /"sub" /)
  }
})

test('only sub names the user: user_id, id and userId do not, and must be the same where they are', async () => {
  const { sub: _, ...nameless } = issuerClaims
  for (const name of ['user_id', 'id', 'userId']) {
    await assertClaimsRefused({ ...nameless, [name]: 'user-1' }, /"sub" is missing/)
    for (const other of ['user-2', 'User-1', '', null, 1, ['user-1']]) {
      await assertClaimsRefused(
        { ...issuerClaims, [name]: other },
        new RegExp(`"${name}" differs from "sub"`),
      )
    }
    assert.equal(await judge(verifier, eddsa.sign({ ...issuerClaims, [name]: 'user-1' })), 'accepted: user-1')
  }
})

test('a session cookie signed with a key of the JWKS (F) is refused by its type, and by its audience without it', async () => {
  const claims = { ...issuerClaims, sid: 'x', session: { userId: 'user-1' }, user: { id: 'user-1' } }
  for (const signer of signers) {
    await assertRefused(signer.sign(claims, { typ: 'better-auth.session-cache+jwt' }), /"typ" is neither/)
    await assertRefused(signer.sign({ ...claims, aud: 'better-auth:session-cache' }), /another purpose/)
  }
})

test('what Better Auth signs with the secret for other purposes (C, I) is refused under a key of the JWKS too', async () => {
  const times = { iat: nowS, exp: nowS + 300 }
  const session = { session: { userId: 'user-1' }, user: { id: 'user-1' }, version: '1', ...times }
  const verification = { email: 'ada@example.com', userId: 'user-1', ...times }
  for (const claims of [session, verification]) {
    await assertRefused(signClaims(claims), /no claim names the user/)
    await assertClaimsRefused(claims, /"iss" is missing/)
    await assertClaimsRefused({ ...claims, iss: issuer, aud: issuer }, /"sub" is missing/)
  }
})

test('an encrypted session (D) is refused, under the name of a known key too', async () => {
  const header = encodePart({ alg: 'dir', enc: 'A256CBC-HS512', kid: eddsa.kid })
  await assertRefused(
    `${header}..${encodePart('iv')}.${encodePart('text')}.${encodePart('tag')}`,
    /three parts/,
  )
  await assertRefused(`${header}.${encodePart(issuerClaims)}.${encodePart('tag')}`, /"alg" does not belong/)
})
