import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { fetchJwks } from '../../src/auth/jwks-fetch.ts'
import { KeySet, type KeySetEvent } from '../../src/auth/key-set.ts'
import { startFakeIssuer } from './fake-issuer.ts'
import { makeSigner } from './signers.ts'

const key = makeSigner('EdDSA', 'one')
const good = JSON.stringify({ keys: [key.jwk] })
const json = 'application/json'

/** What a load of this answer ends with: the number of keys, or the reason for the log. */
async function load(answer: (response: ServerResponse) => void): Promise<string | number> {
  const issuer = await startFakeIssuer()
  issuer.answer = answer
  const events: KeySetEvent[] = []
  const keys = new KeySet({
    load: (signal) => fetchJwks(issuer.url, signal),
    onEvent: (event) => events.push(event),
  })
  await keys.warmUp()
  await issuer.goAway()
  const [event] = events
  assert.equal(events.length, 1)
  return event?.type === 'fetched' ? event.keys : (event?.reason ?? '')
}

function send(body: string | Uint8Array, contentType: string | undefined = json, status = 200) {
  return (response: ServerResponse) => {
    response.writeHead(status, contentType === '' ? {} : { 'content-type': contentType }).end(body)
  }
}

test('a JWKS is read whatever the spelling of its JSON type', async () => {
  for (const type of [
    json,
    'application/json; charset=utf-8',
    'Application/JSON',
    'application/jwk-set+json ; a=b',
  ]) {
    assert.equal(await load(send(good, type)), 1)
  }
})

test('an answer of another type is refused, though it hold a JWKS', async () => {
  for (const type of ['text/html', 'text/plain', 'application/jose', 'application/jsonp', '', 'json']) {
    assert.match(String(await load(send(good, type))), /not JSON by its type/)
  }
})

test('any status but 200 is refused, though the body be a JWKS', async () => {
  for (const status of [201, 203, 204, 206, 400, 401, 403, 404, 410, 429, 500, 502, 503]) {
    assert.match(
      String(await load(send(status === 204 ? '' : good, json, status))),
      new RegExp(`^the answer is ${status}$`),
    )
  }
})

test('a redirect is not followed, and its target is never contacted', async () => {
  const target = await startFakeIssuer(key)
  for (const status of [301, 302, 303, 307, 308]) {
    const reason = await load((response) =>
      response.writeHead(status, { location: target.url, 'content-type': json }).end(good),
    )
    assert.equal(reason, `the answer is ${status}, and redirects are not followed`)
  }
  assert.equal(target.requests.length, 0)
})

test('garbage is refused, and the reason quotes nothing of it', async () => {
  for (const body of [
    '',
    'garbage-marker',
    '<html>garbage-marker</html>',
    '"garbage-marker"',
    '[]',
    'null',
    good.slice(0, -1),
    `${good}x`,
    `\uFEFF${good}`,
    Buffer.from('{"keys":["\xff"]}', 'latin1'),
    '{"keys":[],"keys":[]}',
    `{"keys":${'['.repeat(50)}${']'.repeat(50)}}`,
    gzipSync(good),
  ]) {
    const reason = String(await load(send(body)))
    assert.match(reason, /^the answer is refused: /)
    assert.doesNotMatch(reason, /garbage-marker/)
  }
  for (const body of ['{}', '{"keys":null}', '{"keys":{}}', '{"jwks":[]}']) {
    assert.match(String(await load(send(body))), /^the document is not a JWKS/)
  }
})

test('a JWKS of 256 KiB is read; more is refused, with a length in front or without', async () => {
  const padded = (bytes: number) => `${good.slice(0, -1)},"x":"${'x'.repeat(bytes - good.length - 7)}"}`
  assert.equal(padded(1000).length, 1000)
  assert.equal(await load(send(padded(256 * 1024))), 1)
  const tooLarge = /larger than 256 KiB/
  assert.match(String(await load(send(padded(256 * 1024 + 1)))), tooLarge)
  assert.match(String(await load(send(padded(5 * 1024 * 1024)))), tooLarge)
  const chunked = (response: ServerResponse) => {
    response.setHeader('content-type', json)
    for (const part of padded(5 * 1024 * 1024).match(/.{1,65536}/g) ?? []) response.write(part)
    response.end()
  }
  assert.match(String(await load(chunked)), tooLarge)
})

test('an endless answer is cut off at 256 KiB', async () => {
  let sent = 0
  const reason = await load((response) => {
    response.setHeader('content-type', json)
    const chunk = Buffer.alloc(64 * 1024, 0x20)
    const more = () => {
      while (!response.destroyed && response.write(chunk)) sent += chunk.length
    }
    response.on('drain', more)
    more()
  })
  assert.match(String(reason), /larger than 256 KiB/)
  assert.ok(sent < 64 * 1024 * 1024)
})

test('a compressed answer is read, and what it unpacks to is counted', async () => {
  const zipped = (body: string) => (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': json, 'content-encoding': 'gzip' }).end(gzipSync(body))
  }
  assert.equal(await load(zipped(good)), 1)
  assert.match(String(await load(zipped(' '.repeat(50_000_000)))), /larger than 256 KiB/)
})

test('a connection that is cut is a failure, before, in and after the head', async () => {
  assert.match(String(await load((response) => response.destroy())), /^no answer: /)
  const inBody = (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': json, 'content-length': '1000' })
    response.write(good)
    setTimeout(() => response.destroy(), 50)
  }
  assert.match(String(await load(inBody)), /^no answer: /)
})

test('an issuer that is not there is a failure that names its code', async () => {
  const issuer = await startFakeIssuer()
  await issuer.goAway()
  for (const [url, reason] of [
    [issuer.url, 'no answer: ECONNREFUSED'],
    [issuer.url.replace('127.0.0.1', 'localhost'), 'no answer: ECONNREFUSED'],
    ['https://issuer.invalid/jwks', /^no answer: (ENOTFOUND|EAI_AGAIN)$/],
    [issuer.url.replace('http:', 'https:'), 'no answer: ECONNREFUSED'],
  ] as const) {
    await assert.rejects(fetchJwks(url, AbortSignal.timeout(5000)), { message: reason })
  }
})

test('an issuer that stalls, drips or never ends its head is given up after 5 s', {
  timeout: 20_000,
}, async () => {
  const never = () => {}
  const headOnly = (response: ServerResponse) =>
    response.writeHead(200, { 'content-type': json }).flushHeaders()
  const drip = (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': json })
    const timer = setInterval(() => response.write(' '), 100)
    response.on('close', () => clearInterval(timer))
  }
  const startedAt = performance.now()
  const reasons = await Promise.all([never, headOnly, drip].map(load))
  const tookMs = performance.now() - startedAt
  assert.deepEqual(reasons, Array(3).fill('no whole answer in time'))
  assert.ok(tookMs > 4900 && tookMs < 7500, `${tookMs} ms`)
})
