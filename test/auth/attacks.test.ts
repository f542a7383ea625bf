import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  assertRefused,
  noKey,
  noMatch,
  signatureOf,
  signerOf,
  signers,
  verifier,
  withSignature,
} from './attacked.ts'
import { startFakeIssuer } from './fake-issuer.ts'
import { algorithms, issuerClaims, judge, makeSigner, verifierOf } from './signers.ts'
import { encodePart, goodClaims, secret, sign, signEncoded } from './tokens.ts'

/*
 * Attacks on the algorithm, the key and the signature of an issuer's tokens. Those on their claims are in
 * claim-attacks.test.ts, those by way of numbers in signature-attacks.test.ts, those on the form of any token and on
 * HS256 in compact-jws.test.ts, claims.test.ts and verifier.test.ts.
 */
const [eddsa, es256] = [signerOf('EdDSA'), signerOf('ES256')]

for (const signer of signers) {
  test(`control: a good ${signer.alg} token is accepted, from the cache too`, async () => {
    const token = signer.sign(issuerClaims)
    for (let round = 0; round < 2; round++) assert.equal(await judge(verifier, token), 'accepted: user-1')
  })

  test(`any single bit of a good ${signer.alg} token changed is refused`, async () => {
    const token = Buffer.from(signer.sign(issuerClaims))
    const verdicts = []
    for (let bit = 0; bit < token.length * 8; bit++) {
      const changed = Buffer.from(token)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      verdicts.push(judge(verifier, changed.toString('latin1')))
    }
    for (const verdict of await Promise.all(verdicts)) assert.match(verdict, /^TOKEN_INVALID/)
    assert.equal(await judge(verifier, token.toString()), 'accepted: user-1')
  })

  test(`HS256 with the ${signer.alg} key as PEM, DER, bytes, string or JWKS text as its secret is refused`, async () => {
    const pem = signer.publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const publicText = String(signer.jwk.x ?? signer.jwk.n)
    const secrets = [
      pem,
      pem.trim(),
      pem.replaceAll('\n', '\r\n'),
      pem.replace(/-----[^-]+-----|\n/g, ''),
      signer.publicKey.export({ type: 'spki', format: 'der' }),
      publicText,
      Buffer.from(publicText, 'base64url'),
      JSON.stringify(signer.jwk),
      JSON.stringify({ keys: [signer.jwk] }),
      JSON.stringify({ keys: signers.map(({ jwk }) => jwk) }),
      '',
      '\0',
    ]
    const withoutSecret = verifierOf(signers, { secrets: [] })
    for (const key of secrets) {
      for (const kid of [signer.kid, undefined]) {
        const token = sign({ alg: 'HS256', kid }, issuerClaims, key)
        await assertRefused(token, noMatch)
        await assertRefused(token, /"alg" does not belong/, withoutSecret)
        // The same signature under the algorithm's own name.
        await assertRefused(sign({ alg: signer.alg, kid }, issuerClaims, key), /does not match|no known key/)
      }
    }
  })

  test(`an empty, cut, lengthened, doubled or swapped signature of ${signer.alg} is refused`, async () => {
    const token = signer.sign(issuerClaims)
    const good = signatureOf(token)
    const other = signatureOf(signer.sign({ ...issuerClaims, sub: 'user-2' }))
    await assertRefused(withSignature(token, Buffer.alloc(0)), 'the signature is empty')
    for (const bytes of [
      good.subarray(0, 1),
      good.subarray(0, good.length / 2),
      good.subarray(0, -1),
      good.subarray(1),
      Buffer.concat([good, good]),
      Buffer.concat([good, Buffer.alloc(1)]),
      Buffer.concat([good.subarray(good.length / 2), good.subarray(0, good.length / 2)]),
      Buffer.alloc(good.length),
      Buffer.alloc(good.length, 0xff),
      randomBytes(good.length),
      other,
    ]) {
      await assertRefused(withSignature(token, bytes), noMatch)
    }
  })

  test(`a good ${signer.alg} signature under the name of any other algorithm is refused`, async () => {
    for (const alg of [...algorithms, 'HS256', 'HS384', 'none', 'ES256K', signer.alg.toLowerCase()]) {
      if (alg === signer.alg || (alg.startsWith('Ed') && signer.alg.startsWith('Ed'))) continue
      await assertRefused(signer.sign(issuerClaims, { alg }), /no known key|does not match|does not belong/)
    }
  })
}

test('none is refused in any case, with a name of a key and without, with a signature and without', async () => {
  const [, payload = '', signature = ''] = eddsa.sign(issuerClaims).split('.')
  for (const alg of ['none', 'None', 'NONE', 'nOnE', 'none ', 'nonе', '']) {
    for (const kid of [eddsa.kid, undefined]) {
      const input = `${encodePart({ alg, kid })}.${payload}`
      await assertRefused(`${input}.`, 'the signature is empty')
      await assertRefused(`${input}.${signature}`, /"alg" does not belong/)
      await assertRefused(signEncoded(input), /"alg" does not belong/)
    }
  }
})

test('a key that the token brings along is not used', async () => {
  for (const { alg, kid } of signers) {
    const attacker = makeSigner(alg, kid)
    await assertRefused(attacker.sign(issuerClaims, { jwk: attacker.jwk }), /"jwk" is not accepted/)
    await assertRefused(attacker.sign(issuerClaims, { x5c: ['MIIB'] }), /"x5c" is not accepted/)
    await assertRefused(attacker.sign(issuerClaims), noMatch)
    await assertRefused(attacker.sign(issuerClaims, { kid: 'attacker' }), noKey)
  }
})

test('an address of keys in the token is never contacted', async () => {
  const attacker = makeSigner('EdDSA', eddsa.kid)
  const server = await startFakeIssuer(attacker)
  for (const name of ['jku', 'x5u']) {
    for (const signer of [attacker, eddsa]) {
      await assertRefused(
        signer.sign(issuerClaims, { [name]: server.url }),
        new RegExp(`"${name}" is not accepted`),
      )
    }
  }
  for (const kid of [server.url, `${server.url}#${eddsa.kid}`])
    await assertRefused(attacker.sign(issuerClaims, { kid }), noKey)
  await assertRefused(attacker.sign({ ...issuerClaims, iss: server.url }), noMatch)
  assert.equal(server.requests.length, 0)
})

test('a name that is a path, SQL, an address, a NUL or a prototype finds no key', async () => {
  const documents: unknown[] = []
  const counting = verifierOf(signers, {
    async load() {
      documents.push(null)
      return { keys: [eddsa.jwk] }
    },
  })
  for (const kid of [
    '../../../../dev/null',
    '/proc/self/environ',
    "1' or '1'='1",
    "x' union select 'secret",
    'https://attacker.example/jwks',
    'file:///etc/passwd',
    `${eddsa.kid}\0`,
    ` ${eddsa.kid}`,
    eddsa.kid.toUpperCase(),
    `${eddsa.kid}/../${eddsa.kid}`,
    '__proto__',
    'constructor',
    'toString',
    '',
    '0',
    'x'.repeat(4000),
  ]) {
    await assertRefused(eddsa.sign(issuerClaims, { kid }), noKey, counting)
  }
  assert.ok(documents.length <= 2, 'names do not make more loads')
  for (const kid of [null, 0, true, [eddsa.kid], {}]) {
    await assertRefused(eddsa.sign(issuerClaims, { kid }), /"kid" is not a string/)
  }
})

test('a token without kid is refused where several keys have its algorithm, accepted where one has', async () => {
  await assertRefused(eddsa.sign(issuerClaims, { kid: undefined }), noKey)
  assert.equal(
    await judge(verifierOf([eddsa, es256]), eddsa.sign(issuerClaims, { kid: undefined })),
    'accepted: user-1',
  )
})

test('HS256 is checked with secrets alone, asymmetric algorithms with the JWKS alone', async () => {
  const withoutSecret = verifierOf(signers, { secrets: [] })
  const hs256 = sign({ alg: 'HS256', kid: eddsa.kid }, goodClaims)
  assert.equal(await judge(verifier, hs256), 'accepted: user-1')
  await assertRefused(hs256, /"alg" does not belong/, withoutSecret)
  for (const { alg, kid } of signers) await assertRefused(sign({ alg, kid }, issuerClaims), noMatch)
  const oct = { kty: 'oct', k: Buffer.from(secret).toString('base64url'), kid: 'oct' }
  for (const alg of [undefined, 'HS256', 'EdDSA']) {
    const withOct = verifierOf([{ ...oct, alg }, eddsa], { secrets: [] })
    await assertRefused(sign({ alg: 'HS256', kid: 'oct' }, issuerClaims), /"alg" does not belong/, withOct)
    await assertRefused(sign({ alg: 'EdDSA', kid: 'oct' }, issuerClaims), noKey, withOct)
  }
})

test('each of several secrets verifies, and no other', async () => {
  const [newer, older] = ['q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more', 'w5Tn8-c2Hy6_AnD-ThIs-Is-the-next-one']
  const several = verifierOf(signers, { secrets: [newer, older] })
  for (const key of [newer, older]) {
    assert.equal(await judge(several, sign({ alg: 'HS256' }, goodClaims, key)), 'accepted: user-1')
  }
  for (const key of [secret, newer + older, `${newer},${older}`, `2:${newer},1:${older}`, `2:${newer}`, '']) {
    await assertRefused(sign({ alg: 'HS256' }, goodClaims, key), noMatch, several)
  }
})

test('a token of another issuer with the same name of a key is refused', async () => {
  for (const { alg, kid } of signers) await assertRefused(makeSigner(alg, kid).sign(issuerClaims), noMatch)
})

test('an HMAC with the shared secret over an asymmetric header is refused', async () => {
  for (const { alg, kid } of signers) {
    const input = `${encodePart({ alg, kid })}.${encodePart(issuerClaims)}`
    const mac = createHmac('sha512', secret).update(input).digest('base64url')
    await assertRefused(`${input}.${mac}`, noMatch)
  }
})
