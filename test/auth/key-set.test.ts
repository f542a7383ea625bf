import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fetchJwks } from '../../src/auth/jwks-fetch.ts'
import { KeySet, type KeySetEvent } from '../../src/auth/key-set.ts'
import { eventually } from '../support/process.ts'
import { startFakeIssuer } from './fake-issuer.ts'
import { issuerClaims, judge, makeSigner, type Signer, verifierOf } from './signers.ts'
import { goodClaims, nowMs, nowS, signClaims } from './tokens.ts'

const second = 1000
const minute = 60 * second
const hour = 60 * minute

const keyOne = makeSigner('EdDSA', 'one')
const keyTwo = makeSigner('EdDSA', 'two')
const otherKeyOne = makeSigner('EdDSA', 'one')

/** Expires after any clock of these tests. */
const lasting = { ...issuerClaims, exp: nowS + 10 * 24 * 3600 }
const accepted = 'accepted: user-1'
const unknown = 'TOKEN_INVALID: no known key has the "kid" and "alg" of the header'
const mismatch = 'TOKEN_INVALID: the signature does not match'
const unavailable = 'KEYS_UNAVAILABLE: no keys of the issuer can be had'

/** An issuer with a verifier that fetches its keys, and a clock that the test moves. */
async function setUp(...signers: Signer[]) {
  const issuer = await startFakeIssuer(...signers)
  const events: KeySetEvent[] = []
  let clock = nowMs
  const verifier = verifierOf([], {
    load: () => fetchJwks(issuer.url, AbortSignal.timeout(5000)),
    nowMs: () => clock,
    onEvent: (event) => events.push(event),
  })
  let serial = 0
  return {
    issuer,
    events,
    verify: (token: string) => judge(verifier, token),
    /** Never the same token twice, so that the cache has no part in it. */
    verifyNew: (signer: Signer) => judge(verifier, signer.sign({ ...lasting, jti: `${serial++}` })),
    fetches: () => issuer.requests.length,
    pass(ms: number) {
      clock += ms
    },
  }
}

test('200 first requests at the same time cost one fetch', async () => {
  const { verifyNew, fetches } = await setUp(keyOne)
  const results = await Promise.all(Array.from({ length: 200 }, () => verifyNew(keyOne)))
  assert.deepEqual(new Set(results), new Set([accepted]))
  assert.equal(fetches(), 1)
})

test('the fetch is a plain GET of the configured address, without credentials', async () => {
  const { issuer, verifyNew } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  const [request] = issuer.requests
  assert.equal(`${request?.method} ${request?.url}`, 'GET /api/auth/jwks')
  const { cookie, authorization } = request?.headers ?? {}
  assert.deepEqual(
    [cookie, authorization, request?.headers['accept-encoding']],
    [undefined, undefined, 'identity'],
  )
})

test('unknown names cost one fetch in 5 s, however many come', async () => {
  const { verifyNew, fetches, pass } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  const bogus = () => Array.from({ length: 100 }, (_, index) => makeSigner('EdDSA', `bogus-${index}`, keyTwo))
  for (const [ms, expected] of [
    [0, 2],
    [0, 2],
    [5 * second - 1, 2],
    [1, 3],
    [1, 3],
    [5 * second, 4],
  ] as const) {
    pass(ms)
    const results = await Promise.all(bogus().map(verifyNew))
    assert.deepEqual(new Set(results), new Set([unknown]))
    assert.equal(fetches(), expected)
  }
  assert.equal(await verifyNew(keyOne), accepted)
})

test('signatures that do not fit a known key cost one fetch in 5 s too, together with unknown names', async () => {
  const { verifyNew, fetches, pass } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  for (let round = 0; round < 50; round++) assert.equal(await verifyNew(otherKeyOne), mismatch)
  assert.equal(fetches(), 2)
  assert.equal(await verifyNew(keyTwo), unknown)
  assert.equal(fetches(), 2)
  pass(5 * second)
  assert.equal(await verifyNew(otherKeyOne), mismatch)
  assert.equal(fetches(), 3)
})

test('an unknown name on the very first request costs no more than the load', async () => {
  const { verifyNew, fetches } = await setUp(keyOne)
  assert.equal(await verifyNew(keyTwo), unknown)
  assert.equal(fetches(), 1)
})

test('unknown names on the very first requests cost the load and one fetch', async () => {
  const { verifyNew, fetches } = await setUp(keyOne)
  const bogus = Array.from({ length: 100 }, (_, index) => makeSigner('EdDSA', `bogus-${index}`, keyTwo))
  assert.deepEqual(new Set(await Promise.all(bogus.map(verifyNew))), new Set([unknown]))
  assert.ok(fetches() <= 2, `${fetches()} fetches`)
})

test('a key made at the issuer right after a fetch is accepted at once, and the older one still', async () => {
  const { issuer, verifyNew, fetches } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  issuer.signers = [keyOne, keyTwo]
  assert.equal(await verifyNew(keyTwo), accepted)
  assert.equal(await verifyNew(keyOne), accepted)
  assert.equal(fetches(), 2)
})

test('a token whose key was made while a fetch was under way has the keys fetched once more', async () => {
  const { issuer, verifyNew, fetches } = await setUp(keyOne)
  issuer.answer = (response) => {
    const body = JSON.stringify({ keys: [keyOne.jwk] })
    issuer.answer = issuer.publish
    setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end(body), 100)
  }
  const first = verifyNew(keyOne)
  await new Promise((resolve) => setTimeout(resolve, 50))
  issuer.signers = [keyOne, keyTwo]
  assert.deepEqual(await Promise.all([first, verifyNew(keyTwo)]), [accepted, accepted])
  assert.equal(fetches(), 2)
})

test('a new key under a known name is noticed, and what the old one signed is refused, in the cache too', async () => {
  const { issuer, verify, verifyNew, fetches, events } = await setUp(keyOne)
  const old = keyOne.sign(lasting)
  assert.equal(await verifyNew(keyOne), accepted)
  assert.equal(await verify(old), accepted)
  issuer.signers = [otherKeyOne]
  assert.equal(await verify(old), accepted)
  assert.equal(await verifyNew(otherKeyOne), accepted)
  assert.equal(fetches(), 2)
  assert.equal(await verify(old), mismatch)
  assert.deepEqual(
    events.map((event) => event.type === 'fetched' && [event.added, event.removed]),
    [
      [1, 0],
      [1, 1],
    ],
  )
})

test('a token whose key is taken back while its signature is checked does not stay in the cache', async () => {
  const { promise: later, resolve } = Promise.withResolvers<unknown>()
  const answers = [Promise.resolve({ keys: [keyOne.jwk, keyTwo.jwk] }), later]
  const verifier = verifierOf([], { load: () => answers.shift() ?? Promise.reject(new Error('away')) })
  assert.equal(await judge(verifier, keyTwo.sign(lasting)), accepted)
  const loading = judge(verifier, makeSigner('EdDSA', 'three').sign(lasting))
  await eventually(async () => answers.length === 0)
  const token = keyOne.sign(lasting)
  const checking = judge(verifier, token)
  resolve({ keys: [keyTwo.jwk] })
  // The keys change in microtasks, the check ends in a later turn of the event loop, and another token comes between.
  for (let turn = 0; turn < 100; turn++) await Promise.resolve()
  assert.match(await judge(verifier, 'no token'), /three parts/)
  assert.deepEqual(await Promise.all([loading, checking]), [unknown, accepted])
  assert.equal(await judge(verifier, token), unknown)
})

test('a new key of another algorithm under a known name is noticed', async () => {
  const { issuer, verifyNew } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  const es256 = makeSigner('ES256', 'one')
  issuer.signers = [es256]
  assert.equal(await verifyNew(es256), accepted)
  assert.equal(await verifyNew(keyOne), unknown)
})

test('keys are loaded again in the background when they are used after 5 minutes, and nobody waits', async () => {
  const { issuer, verifyNew, fetches, pass, events } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  pass(4.4 * minute)
  assert.equal(await verifyNew(keyOne), accepted)
  assert.equal(fetches(), 1)
  let finish = () => {}
  issuer.answer = (response) => {
    finish = () => issuer.publish(response)
  }
  pass(1.2 * minute)
  for (let round = 0; round < 10; round++) assert.equal(await verifyNew(keyOne), accepted)
  await eventually(async () => fetches() === 2)
  issuer.signers = [keyTwo]
  finish()
  await eventually(async () => events.length === 2)
  issuer.answer = issuer.publish
  assert.equal(await verifyNew(keyTwo), accepted)
  assert.equal(fetches(), 2)
})

test('a key that was taken back is refused after the next load, a token in the cache too', async () => {
  const { issuer, verify, verifyNew, pass, events } = await setUp(keyOne, keyTwo)
  const token = keyOne.sign(lasting)
  assert.equal(await verifyNew(keyTwo), accepted)
  assert.equal(await verify(token), accepted)
  issuer.signers = [keyTwo]
  pass(5.6 * minute)
  assert.equal(await verifyNew(keyTwo), accepted)
  await eventually(async () => events.length === 2)
  assert.equal(await verify(token), unknown)
})

test('after a pause of 15 minutes the keys are not used before they have been loaded again', async () => {
  const { issuer, verifyNew, pass, fetches } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  issuer.signers = [keyTwo]
  pass(15 * minute)
  assert.deepEqual(new Set(await Promise.all([keyOne, keyOne].map(verifyNew))), new Set([unknown]))
  assert.equal(await verifyNew(keyTwo), accepted)
  assert.ok(fetches() <= 3)
})

test('while the issuer is away known keys are used on for a day, then it is 503, and then they are back', async () => {
  const { issuer, verifyNew, pass, fetches, events } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  await issuer.goAway()
  for (let hours = 0; hours < 23; hours++) {
    pass(hour)
    const tries = events.length
    const startedAt = performance.now()
    for (let round = 0; round < 5; round++) assert.equal(await verifyNew(keyOne), accepted)
    assert.ok(performance.now() - startedAt < 1000)
    assert.equal(await verifyNew(keyTwo), unknown)
    await eventually(async () => events.length > tries)
  }
  assert.ok(events.length < 60, `${events.length} tries in a day`)
  pass(hour)
  assert.equal(await verifyNew(keyOne), unavailable)
  assert.equal(fetches(), 1)
  await issuer.comeBack()
  pass(second)
  assert.equal(await verifyNew(keyOne), accepted)
})

test('while none are known it is 503 at once, with one try a second; the first token after that is accepted', async () => {
  const { issuer, verifyNew, pass, events } = await setUp(keyOne)
  await issuer.goAway()
  const results = await Promise.all(Array.from({ length: 50 }, () => verifyNew(keyOne)))
  assert.deepEqual(new Set(results), new Set([unavailable]))
  pass(second - 1)
  assert.equal(await verifyNew(keyTwo), unavailable)
  assert.equal(events.length, 1)
  pass(1)
  assert.equal(await verifyNew(keyOne), unavailable)
  assert.equal(events.length, 2)
  await issuer.comeBack()
  pass(second)
  assert.equal(await verifyNew(keyOne), accepted)
  const last = events.at(-1)
  assert.ok(last?.type === 'fetched')
  assert.deepEqual([last.keys, last.failuresBefore], [1, 2])
})

test('no token waits longer than 2 s for an issuer that stalls, and one with a known key not at all', async () => {
  const { issuer, verifyNew, pass, events } = await setUp(keyOne)
  const timed = async (signer: Signer) => {
    const startedAt = performance.now()
    return { verdict: await verifyNew(signer), ms: performance.now() - startedAt }
  }
  issuer.answer = () => {}
  const first = await timed(keyOne)
  assert.equal(first.verdict, unavailable)
  assert.ok(first.ms > 1900 && first.ms < 4500, `${first.ms} ms`)
  issuer.requests.at(-1)?.destroy()
  await eventually(async () => events.length === 1)
  issuer.answer = issuer.publish
  pass(second)
  assert.equal(await verifyNew(keyOne), accepted)
  issuer.answer = () => {}
  const [bogus, bad, good] = await Promise.all([timed(keyTwo), timed(otherKeyOne), timed(keyOne)])
  assert.deepEqual([bogus.verdict, bad.verdict, good.verdict], [unknown, mismatch, accepted])
  assert.ok(bogus.ms < 4500 && bad.ms < 4500 && good.ms < 1500, `${bogus.ms} ms, ${bad.ms} ms, ${good.ms} ms`)
})

test('the 503 says when to try again, and is never 401, whatever the token is worth', async () => {
  const verifier = verifierOf([], { load: () => Promise.reject(new Error('away')) })
  for (const token of [keyOne.sign(lasting), otherKeyOne.sign({}), `${keyOne.sign(lasting)}AAAA`]) {
    const result = await verifier.verify(token)
    assert.ok(!result.ok && result.code === 'KEYS_UNAVAILABLE')
    assert.equal(result.retryAfterS, 1)
  }
})

test('a token of the shared secret needs no issuer', async () => {
  const { issuer, verify, fetches } = await setUp(keyOne)
  await issuer.goAway()
  assert.equal(await verify(signClaims(goodClaims)), accepted)
  assert.equal(await verify(signClaims({ ...goodClaims, sub: '' })), 'TOKEN_INVALID: claims: "sub" is empty')
  assert.equal(fetches(), 0)
})

test('an issuer that takes all its keys back leaves none: 503', async () => {
  const { issuer, verifyNew, pass } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  issuer.signers = []
  pass(15 * minute)
  assert.equal(await verifyNew(keyOne), unavailable)
  issuer.signers = [keyTwo]
  pass(second)
  assert.equal(await verifyNew(keyTwo), accepted)
})

test('keys that are weak or not for signatures are left out, and the log says why', async () => {
  const { issuer, verifyNew, events } = await setUp(keyOne)
  const jwks = [{ kty: 'oct', k: 'c2VjcmV0', kid: 'one' }, { ...keyTwo.jwk, use: 'enc' }, keyOne.jwk]
  issuer.answer = (response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: jwks }))
  assert.equal(await verifyNew(keyOne), accepted)
  const [event] = events
  assert.ok(event?.type === 'fetched')
  assert.deepEqual(event.refused, ['it is symmetric', '"use" is not sig'])
  assert.equal(await verifyNew(keyTwo), unknown)
})

test('a clock that is put back neither stops the loads nor keeps keys for ever', async () => {
  const { issuer, verifyNew, pass, fetches } = await setUp(keyOne)
  assert.equal(await verifyNew(keyOne), accepted)
  assert.equal(await verifyNew(keyTwo), unknown)
  issuer.signers = [keyOne, keyTwo]
  pass(-2 * second)
  assert.equal(await verifyNew(keyTwo), accepted)
  assert.ok(fetches() <= 4)
})

test('what is told for the log holds no key', async () => {
  const { issuer, verifyNew, events } = await setUp(keyOne)
  await verifyNew(keyOne)
  issuer.signers = [keyTwo]
  await verifyNew(keyTwo)
  issuer.answer = (response) => response.end('x')
  await verifyNew(otherKeyOne)
  assert.doesNotMatch(JSON.stringify(events), new RegExp(`${keyOne.jwk.x}|${keyTwo.jwk.x}`))
})

test('keys can come from within the service, under the same rules', async () => {
  let [document, loads]: [unknown, number] = [{ keys: [keyOne.jwk] }, 0]
  const verifier = verifierOf([], {
    async load() {
      loads++
      return document
    },
  })
  const tokens = Array.from({ length: 200 }, (_, index) => keyOne.sign({ ...lasting, jti: `${index}` }))
  const results = await Promise.all(tokens.map((token) => judge(verifier, token)))
  assert.deepEqual(new Set(results), new Set([accepted]))
  assert.equal(loads, 1)
  document = { keys: [keyOne.jwk, keyTwo.jwk] }
  assert.equal(await judge(verifier, keyTwo.sign(lasting)), accepted)
  assert.equal(loads, 2)
  assert.equal(await judge(verifier, makeSigner('EdDSA', 'three').sign(lasting)), unknown)
  assert.equal(loads, 2)
})

for (const [what, load] of [
  ['throws', () => Promise.reject(new Error('away'))],
  [
    'throws before it gives a promise',
    () => {
      throw new Error('away')
    },
  ],
  ['throws what is no error', () => Promise.reject('away')],
  ['gives nothing', async () => undefined],
  ['gives no JWKS', async () => ({ keys: 'none' })],
] as const) {
  test(`a source of keys that ${what} is one that is away`, async () => {
    const events: KeySetEvent[] = []
    const verifier = verifierOf([], { load, onEvent: (event) => events.push(event) })
    assert.equal(await judge(verifier, keyOne.sign(lasting)), unavailable)
    assert.equal(events[0]?.type, 'failed')
  })
}

test('a stopped key set ends its load and begins no other', async () => {
  const issuer = await startFakeIssuer(keyOne)
  issuer.answer = () => {}
  const events: KeySetEvent[] = []
  let clock = nowMs
  const keys = new KeySet({
    load: (signal) => fetchJwks(issuer.url, signal),
    onEvent: (event) => events.push(event),
    nowMs: () => clock,
  })
  const loading = keys.warmUp()
  const finding = keys.find('EdDSA', 'one')
  await eventually(async () => issuer.requests.length === 1)
  const startedAt = performance.now()
  keys.stop()
  await loading
  assert.deepEqual(await finding, { found: undefined, retryAfterS: 1 })
  clock += minute
  assert.deepEqual(await keys.find('EdDSA', 'one'), { found: undefined, retryAfterS: 1 })
  assert.ok(performance.now() - startedAt < 1000)
  assert.equal(issuer.requests.length, 1)
  assert.deepEqual(events, [])
})
