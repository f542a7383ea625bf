import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError, assertPage, assertTask, logLinesOf } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'
import { sendRequest } from '../support/raw-http.ts'

const service = await startApp()
const { url } = service

async function assertAlive(): Promise<void> {
  assert.equal((await service.anonymous().get('/health')).status, 200)
}

const json = { 'content-type': 'application/json' }
const badEscapes = ['%', '%1', '%zz', '%u0041', '%ff', '%c0%ae', '%ed%a0%80', '%f5%80%80%80', '%e2%82']
const badUrls = [...badEscapes, '%00', 'a%00b', '%25%00']
for (const sequence of badUrls) {
  test(`${sequence} in path or query is INVALID_URL`, async () => {
    const user = service.as(newUser())
    const paths = [`/api/me/tasks/${sequence}`, `/api/me/${sequence}`, `/api/me/tasks?limit=${sequence}`]
    paths.push(`/api/me/tasks?${sequence}=1`, `/${sequence}`, `/health?x=${sequence}`)
    for (const path of paths) {
      const line = [`GET ${path} HTTP/1.1`, `Authorization: Bearer ${user.token}`]
      assertError(await sendRequest(url, line), 400, 'INVALID_URL')
    }
    await assertAlive()
  })
}

const refusedTypes: readonly Record<string, string>[] = [
  { 'content-type': 'text/plain' },
  { 'content-type': 'text/plain; charset=utf-8' },
  { 'content-type': 'text/json' },
  { 'content-type': 'application/jsonp' },
  { 'content-type': 'application/json5' },
  { 'content-type': 'application/problem+json' },
  { 'content-type': 'application/x-ndjson' },
  { 'content-type': 'application/octet-stream' },
  { 'content-type': 'application/x-www-form-urlencoded' },
  { 'content-type': 'multipart/form-data; boundary=x' },
  { 'content-type': 'application' },
  { 'content-type': '*/*' },
  { 'content-type': 'application/json; charset=latin1' },
  { 'content-type': 'application/json;charset="ISO-8859-1"' },
  { 'content-type': 'application/json; charset=utf-16' },
  { 'content-type': 'application/json; charset=utf-8x' },
  { 'content-type': 'application/json; charset=' },
  { ...json, 'content-encoding': 'gzip' },
  { ...json, 'content-encoding': 'br' },
  { ...json, 'content-encoding': 'identity, gzip' },
]
for (const headers of refusedTypes) {
  test(`a body with ${JSON.stringify(headers)} is UNSUPPORTED_MEDIA_TYPE`, async () => {
    const user = service.as(newUser())
    const answer = await user.request('POST', '/api/me/tasks', { raw: '{"title":"x"}', headers })
    assertError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')
    assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
    await assertAlive()
  })
}

test('a body without a content type is UNSUPPORTED_MEDIA_TYPE', async () => {
  const { token } = service.as(newUser())
  const body = '{"title":"x"}'
  for (const headers of [
    [`Content-Length: ${body.length}`],
    [`Content-Length: ${body.length}`, 'Content-Type: '],
  ]) {
    const lines = ['POST /api/me/tasks HTTP/1.1', `Authorization: Bearer ${token}`, ...headers]
    assertError(await sendRequest(url, lines, body), 415, 'UNSUPPORTED_MEDIA_TYPE')
  }
})

const goodTypes: readonly Record<string, string>[] = [
  { 'content-type': 'application/json; charset=utf-8' },
  { 'content-type': 'application/json;charset=UTF8' },
  { 'content-type': 'Application/JSON ; Charset="Utf-8"' },
  { 'content-type': 'application/json; profile=x' },
  { ...json, 'content-encoding': 'identity' },
]
for (const headers of goodTypes) {
  test(`a body with ${JSON.stringify(headers)} is read`, async () => {
    const answer = await service
      .as(newUser())
      .request('POST', '/api/me/tasks', { raw: '{"title":"\u00e9"}', headers })
    assertTask(answer, 201, { title: '\u00e9' })
  })
}

test('a body of 1 MiB is read, and one byte more is BODY_TOO_LARGE', async () => {
  const user = service.as(newUser())
  const body = '{"title":"x"}'
  const full = body + ' '.repeat(1_048_576 - body.length)
  assertTask(await user.request('POST', '/api/me/tasks', { raw: full, headers: json }), 201)
  assertError(
    await user.request('POST', '/api/me/tasks', { raw: `${full} `, headers: json }),
    413,
    'BODY_TOO_LARGE',
  )
  assert.equal(assertPage(await user.get('/api/me/tasks')).tasks.length, 1)
})

test('a body of 2 MB is BODY_TOO_LARGE, sent with its length or in chunks', async () => {
  const user = service.as(newUser())
  const body = Buffer.from(`{"title":"x","description":"${'y'.repeat(2_000_000)}"}`)
  const lines = [
    'POST /api/me/tasks HTTP/1.1',
    `Authorization: Bearer ${user.token}`,
    'Content-Type: application/json',
  ]
  const chunk = Buffer.concat([
    Buffer.from(`${body.length.toString(16)}\r\n`),
    body,
    Buffer.from('\r\n0\r\n\r\n'),
  ])
  assertError(
    await sendRequest(url, [...lines, `Content-Length: ${body.length}`], body),
    413,
    'BODY_TOO_LARGE',
  )
  assertError(await sendRequest(url, [...lines, 'Transfer-Encoding: chunked'], chunk), 413, 'BODY_TOO_LARGE')
  assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
  await assertAlive()
})

test('a body in chunks of one byte is read', async () => {
  const { token } = service.as(newUser())
  const body = Array.from('{"title":"x"}', (byte) => `1\r\n${byte}\r\n`).join('')
  const lines = [
    'POST /api/me/tasks HTTP/1.1',
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
  ]
  assertTask(await sendRequest(url, [...lines, 'Transfer-Encoding: chunked'], `${body}0\r\n\r\n`), 201, {
    title: 'x',
  })
})

test('a token of 9 kB is TOKEN_INVALID', async () => {
  for (const token of [
    'x'.repeat(9_000),
    `${service.as(newUser()).token}${'x'.repeat(9_000)}`,
    '.'.repeat(9_000),
  ]) {
    assertError(await service.anonymous(`Bearer ${token}`).get('/api/me/tasks'), 401, 'TOKEN_INVALID')
  }
  await assertAlive()
})

const oversized: readonly (readonly [name: string, ...string[]])[] = [
  ['one header of 17 kB', 'GET /health HTTP/1.1', `X-Large: ${'x'.repeat(17_000)}`],
  ['a token of 17 kB', 'GET /api/me/tasks HTTP/1.1', `Authorization: Bearer ${'x'.repeat(17_000)}`],
  ['a URL of 17 kB', `GET /health?${'x'.repeat(17_000)} HTTP/1.1`],
  ['3,000 headers', 'GET /health HTTP/1.1', ...Array.from({ length: 3_000 }, (_, n) => `X-${n}: ${n}`)],
]
for (const [name, ...lines] of oversized) {
  test(`${name} is HEADERS_TOO_LARGE, closes the connection and has its log line`, async () => {
    const answer = await sendRequest(url, lines)
    assertError(answer, 431, 'HEADERS_TOO_LARGE')
    assert.equal(answer.headers.get('connection'), 'close')
    const [line] = await logLinesOf(service, answer.headers.get('x-request-id'))
    assert.deepEqual([line?.status, line?.code], [431, 'HEADERS_TOO_LARGE'])
    await assertAlive()
  })
}

test('a mebibyte of unknown fields is VALIDATION_FAILED, with 100 of the problems', async () => {
  const user = service.as(newUser())
  const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ']
  const names = letters.flatMap((a) => letters.flatMap((b) => letters.map((c) => `${a}${b}${c}`)))
  const fields = names.slice(0, 131_000).map((name) => `"${name}":0`)
  const raw = `{${fields.join()}}`
  for (const path of ['/api/me/tasks', '/api/me/tasks/batch']) {
    const answer = await user.request('POST', path, { raw, headers: json })
    assert.deepEqual([answer.status, answer.body.error.code], [422, 'VALIDATION_FAILED'])
    assert.equal(answer.body.error.details.length, 100)
  }
  await assertAlive()
})
