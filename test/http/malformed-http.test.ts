import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError, assertPage, assertTask, logLinesOf } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'
import { eventually } from '../support/process.ts'
import { requestBytes, sendRaw, sendRequest } from '../support/raw-http.ts'
import { openSocket, openStreamSocket } from '../support/sockets.ts'

const service = await startApp()
const { url } = service

async function assertAlive(): Promise<void> {
  assert.equal((await service.anonymous().get('/health')).status, 200)
}

const post = (token: string, ...headers: string[]) => [
  'POST /api/me/tasks HTTP/1.1',
  'Host: test',
  'Connection: close',
  `Authorization: Bearer ${token}`,
  'Content-Type: application/json',
  ...headers,
]
const body = '{"title":"x"}'

type Malformed = readonly [name: string, bytes: (token: string) => string | Uint8Array]

const malformed: readonly Malformed[] = [
  ['an unknown method', () => 'FOO /health HTTP/1.1\r\nHost: test\r\n\r\n'],
  ['a method in lower case', () => 'get /health HTTP/1.1\r\nHost: test\r\n\r\n'],
  ['no target', () => 'GET HTTP/1.1\r\nHost: test\r\n\r\n'],
  ['no version', () => 'GET /health \r\nHost: test\r\n\r\n'],
  ['another protocol', () => 'GET /health FTP/1.1\r\nHost: test\r\n\r\n'],
  ['a space in the target', () => 'GET /hea lth HTTP/1.1\r\nHost: test\r\n\r\n'],
  ['a NUL in the target', () => 'GET /health\0 HTTP/1.1\r\nHost: test\r\n\r\n'],
  ['bytes beyond ASCII in the target', () => Buffer.from('GET /\u00e9 HTTP/1.1\r\nHost: test\r\n\r\n')],
  ['a TLS greeting', () => Buffer.from('1603010200010001fc0303', 'hex')],
  ['noise', () => Buffer.from('00ff10e2 9d0a0d0a'.replace(' ', ''), 'hex')],
  ['an HTTP/2 preface', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a header name with a space', () => 'GET /health HTTP/1.1\r\nHost: test\r\nX A: b\r\n\r\n'],
  ['a header without a colon', () => 'GET /health HTTP/1.1\r\nHost: test\r\nX\r\n\r\n'],
  ['a header without a name', () => 'GET /health HTTP/1.1\r\nHost: test\r\n: x\r\n\r\n'],
  ['a NUL in a header', () => 'GET /health HTTP/1.1\r\nHost: test\r\nX: a\0b\r\n\r\n'],
  ['no Host', () => 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n'],
  [
    'two Content-Lengths',
    (token) => requestBytes(post(token, 'Content-Length: 13', 'Content-Length: 14'), body),
  ],
  [
    'two equal Content-Lengths',
    (token) => requestBytes(post(token, 'Content-Length: 13', 'Content-Length: 13'), body),
  ],
  ['a Content-Length that is a list', (token) => requestBytes(post(token, 'Content-Length: 13, 13'), body)],
  ['a Content-Length that is no number', (token) => requestBytes(post(token, 'Content-Length: x'), body)],
  ['a negative Content-Length', (token) => requestBytes(post(token, 'Content-Length: -1'), body)],
  [
    'an endless Content-Length',
    (token) => requestBytes(post(token, `Content-Length: ${'9'.repeat(40)}`), body),
  ],
  [
    'both a length and chunks',
    (token) =>
      requestBytes(
        post(token, 'Content-Length: 13', 'Transfer-Encoding: chunked'),
        `d\r\n${body}\r\n0\r\n\r\n`,
      ),
  ],
  ['chunks that are compressed', (token) => requestBytes(post(token, 'Transfer-Encoding: gzip'), body)],
  [
    'chunked before another coding',
    (token) => requestBytes(post(token, 'Transfer-Encoding: chunked, gzip'), body),
  ],
  [
    'a chunk without a size',
    (token) => requestBytes(post(token, 'Transfer-Encoding: chunked'), `\r\n${body}\r\n0\r\n\r\n`),
  ],
  [
    'a chunk size that is no number',
    (token) => requestBytes(post(token, 'Transfer-Encoding: chunked'), `xyz\r\n${body}`),
  ],
  [
    'a chunk longer than its size',
    (token) => requestBytes(post(token, 'Transfer-Encoding: chunked'), `2\r\n${body}\r\n0\r\n\r\n`),
  ],
]
for (const [name, bytes] of malformed) {
  test(`${name}: an error in the envelope or nothing, the connection closed, nothing stored`, async () => {
    const user = service.as(newUser())
    for (const answer of await sendRaw(url, bytes(user.token))) {
      assert.ok(answer.status >= 400 && answer.status < 500, answer.text)
      assert.ok(answer.body !== undefined, `${answer.status} without the envelope`)
      assertError(answer, 400, 'BAD_REQUEST')
      assert.equal(answer.headers.get('connection'), 'close')
      const lines = await logLinesOf(service, answer.headers.get('x-request-id'))
      assert.ok(lines.some(({ status, code }) => status === 400 && code === 'BAD_REQUEST'))
    }
    assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
    await assertAlive()
  })
}

const cutOff: readonly Malformed[] = [
  ['nothing', () => ''],
  ['half a request line', () => 'GET /hea'],
  ['half the headers', () => 'GET /health HTTP/1.1\r\nHost: te'],
  ['headers without their end', () => 'GET /health HTTP/1.1\r\nHost: test\r\n'],
  ['no body', (token) => requestBytes(post(token, 'Content-Length: 13'))],
  ['half a body', (token) => requestBytes(post(token, 'Content-Length: 13'), '{"titl')],
  ['a body that lacks its last byte', (token) => requestBytes(post(token, 'Content-Length: 14'), body)],
  ['half a chunk', (token) => requestBytes(post(token, 'Transfer-Encoding: chunked'), 'd\r\n{"titl')],
  [
    'chunks without their end',
    (token) => requestBytes(post(token, 'Transfer-Encoding: chunked'), `d\r\n${body}\r\n`),
  ],
]
for (const afterwards of ['half-close', 'cut'] as const) {
  for (const [name, bytes] of cutOff) {
    test(`${name} and then a ${afterwards}: an error in the envelope or nothing, and nothing stored`, async () => {
      const user = service.as(newUser())
      for (const answer of await sendRaw(url, bytes(user.token), { afterwards })) {
        assert.ok(answer.body !== undefined, `${answer.status} without the envelope`)
        assertError(answer, 400, 'BAD_REQUEST')
      }
      assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
      await assertAlive()
    })
  }
}

test('requests that are pipelined are answered in their order', async () => {
  const user = service.as(newUser())
  const head = (line: string, ...more: string[]) =>
    requestBytes([line, 'Host: test', `Authorization: Bearer ${user.token}`, ...more])
  const type = 'Content-Type: application/json'
  const bytes = Buffer.concat([
    head('POST /api/me/tasks HTTP/1.1', type, 'Content-Length: 13'),
    Buffer.from(body),
    head('GET /api/me/tasks HTTP/1.1'),
    head('GET /api/other/tasks HTTP/1.1'),
    head('GET /health HTTP/1.1', 'Connection: close'),
  ])
  const answers = await sendRaw(url, bytes)
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 200, 403, 200],
  )
  assert.ok(answers[0] && answers[3])
  assertTask(answers[0], 201, { title: 'x' })
  assert.deepEqual(answers[3].body.data, {})
})

test('an Expect that nobody knows is answered in the envelope', async () => {
  const answer = await sendRequest(url, ['GET /health HTTP/1.1', 'Expect: the-unexpected'])
  if (answer.status === 200) assert.deepEqual(answer.body.data, {})
  else assertError(answer, 400, 'BAD_REQUEST')
})

test('garbage behind a good request is answered in the envelope and ends the connection', async () => {
  const health = requestBytes(['GET /health HTTP/1.1', 'Host: test'])
  const answers = await sendRaw(url, Buffer.concat([health, Buffer.from('GARBAGE\r\n\r\n'), health]))
  const last = answers.pop()
  assert.ok(last)
  assertError(last, 400, 'BAD_REQUEST')
  for (const answer of answers) assert.equal(answer.status, 200)
  await assertAlive()
})

test('a write with garbage behind it is answered first, then the garbage, and the connection is closed', async () => {
  const user = service.as(newUser())
  const good = requestBytes(
    [
      'POST /api/me/tasks HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${user.token}`,
      'Content-Type: application/json',
      'Content-Length: 13',
    ],
    body,
  )
  const answers = await sendRaw(url, Buffer.concat([good, good, Buffer.from('GARBAGE\r\n\r\n'), good]))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 201, 400],
  )
  const last = answers.pop()
  assert.ok(last)
  assertError(last, 400, 'BAD_REQUEST')
  assert.equal(assertPage(await user.get('/api/me/tasks')).tasks.length, 2)
})

test('a request whose body breaks off into garbage is answered 400 after those before it', async () => {
  const user = service.as(newUser())
  const bad = requestBytes(
    [
      'POST /api/me/tasks HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${user.token}`,
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
    ],
    'xyz\r\n',
  )
  const list = requestBytes([
    'GET /api/me/tasks HTTP/1.1',
    'Host: test',
    `Authorization: Bearer ${user.token}`,
  ])
  const answers = await sendRaw(url, Buffer.concat([list, bad]))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 400],
  )
})

test('garbage behind a stream cuts it, and nothing is written into it', async () => {
  const user = service.as(newUser())
  const stream = await openStreamSocket(url, user.token)
  stream.socket.write('GARBAGE\r\n\r\n')
  await eventually(async () => stream.isClosed())
  assert.equal(stream.received().match(/HTTP\/1\.1/g)?.length, 1)
  await assertAlive()
})

test('a HEAD that cannot be read is answered without a body, where nothing else came over its connection', async () => {
  for (const [line, status] of [
    ['no header', 400],
    [`X: ${'x'.repeat(17_000)}`, 431],
  ] as const) {
    const received = async (method: string) => {
      const client = await openSocket(url)
      client.socket.write(requestBytes([`${method} /health HTTP/1.1`, 'Host: test', line]))
      await eventually(async () => client.isClosed())
      assert.match(client.received(), new RegExp(`^HTTP/1\\.1 ${status} `))
      return client.received()
    }
    const [head, get] = [await received('HEAD'), await received('GET')]
    const lengthOf = (text: string) => /content-length: (\d+)/.exec(text)?.[1]
    assert.ok(head.endsWith('\r\n\r\n'), head)
    assert.equal(lengthOf(head), lengthOf(get))
    assert.ok(get.endsWith('}}'))
  }
})
