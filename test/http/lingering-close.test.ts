import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { newUser, startApp } from '../support/app.ts'
import { eventually } from '../support/process.ts'
import { requestBytes } from '../support/raw-http.ts'
import { openSocket } from '../support/sockets.ts'

// What is refused before all of it has come: the answer must arrive, and what comes after it is bounded.

const service = await startApp()
const user = service.as(newUser())

type Outcome = { readonly received: string; readonly error: string | undefined }

/** Sends everything, piece by piece, whatever is answered meanwhile; then reads until the connection is closed. */
async function sendAll(url: string, bytes: Uint8Array): Promise<Outcome> {
  const { hostname, port } = new URL(url)
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  let received = ''
  let error: string | undefined
  socket.pause()
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  socket.on('end', () => socket.end())
  socket.on('error', (err: Error & { code?: string }) => (error = err.code))
  socket.on('close', () => resolve())
  const pieceLength = Math.ceil(bytes.length / 8)
  for (let at = 0; at < bytes.length && error === undefined; at += pieceLength) {
    socket.write(bytes.subarray(at, at + pieceLength))
    // So that an answer, and a close, can come in between.
    await delay(5)
  }
  socket.resume()
  await closed
  return { received, error }
}

const post = (lines: readonly string[], body: string | Uint8Array, token = user.token) =>
  requestBytes(
    [
      'POST /api/me/tasks HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${token}`,
      'Connection: close',
      ...lines,
    ],
    body,
  )

const json = 'Content-Type: application/json'
const withLength = (length: number, type = json, token?: string) =>
  post([type, `Content-Length: ${length}`], Buffer.alloc(length, ' '), token)
const inChunks = (length: number) =>
  post(
    [json, 'Transfer-Encoding: chunked'],
    Buffer.concat([
      Buffer.from(`${length.toString(16)}\r\n`),
      Buffer.alloc(length, ' '),
      Buffer.from('\r\n0\r\n\r\n'),
    ]),
  )

const refused: readonly (readonly [name: string, status: number, bytes: () => Uint8Array])[] = [
  ['a body of a little more than 1 MiB', 413, () => withLength(1_048_577)],
  ['a body of 3 MB', 413, () => withLength(3_000_000)],
  ['a body of a little more than 1 MiB in chunks', 413, () => inChunks(1_148_577)],
  ['a body of 3 MB in chunks', 413, () => inChunks(3_000_000)],
  ['3 MB of another type', 415, () => withLength(3_000_000, 'Content-Type: text/plain')],
  ['3 MB without a type', 415, () => withLength(3_000_000, 'X-No: type')],
  ['3 MB with a bad token', 401, () => withLength(3_000_000, json, 'x')],
  [
    'two Hosts and 3 MB',
    400,
    () => post([json, 'Host: b', 'Content-Length: 3000000'], Buffer.alloc(3_000_000)),
  ],
  [
    'too many headers and 3 MB',
    431,
    () =>
      post(
        [json, ...Array.from({ length: 100 }, () => 'a: b'), 'Content-Length: 3000000'],
        Buffer.alloc(3_000_000),
      ),
  ],
  [
    '3 MB of headers',
    431,
    () => requestBytes(['GET /health HTTP/1.1', 'Host: test', `X: ${'x'.repeat(3_000_000)}`]),
  ],
  ['3 MB that are no HTTP', 400, () => Buffer.alloc(3_000_000, 'x')],
]
for (const [name, status, bytes] of refused) {
  test(`${name}: the whole ${status} reaches the client, which sees no error`, async () => {
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => sendAll(service.url, bytes())))
    for (const { received, error } of outcomes) {
      assert.equal(error, undefined)
      assertWhole(received, status)
    }
  })
}

function assertWhole(received: string, status: number): void {
  assert.match(received, new RegExp(`^HTTP/1\\.1 ${status} `))
  const [head = '', body = ''] = received.split('\r\n\r\n')
  assert.equal(Number(/\ncontent-length: (\d+)/i.exec(head)?.[1]), Buffer.byteLength(body))
  assert.equal(JSON.parse(body).status, 'error')
}

test('so does a 503 to a long body when there is too much to do', async () => {
  const busy = await startApp({ poolMax: 1, maxWaiting: 0 })
  const outcomes = await Promise.all(
    Array.from({ length: 10 }, () => sendAll(busy.url, withLength(3_000_000))),
  )
  for (const { received, error } of outcomes) {
    assert.equal(error, undefined)
    assertWhole(received, 503)
  }
})

const heads: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['a body that is too large', post([json, 'Content-Length: 1000000000'], '')],
  ['headers that are too large', requestBytes(['GET /health HTTP/1.1', `X: ${'x'.repeat(20_000)}`])],
]
for (const [name, head] of heads) {
  test(`${name}: who sends on for ever is cut after a few MB, and who stops sending after a while`, async () => {
    const sockets: Socket[] = []
    const own = await startApp()
    own.app.server.on('connection', (socket) => sockets.push(socket))
    const flood = await openSocket(own.url)
    // It goes on though the service has ended its side.
    flood.socket.allowHalfOpen = true
    flood.socket.write(head)
    const piece = Buffer.alloc(262_144, 'x')
    const send = () => {
      while (!flood.isClosed() && flood.socket.writable && flood.socket.write(piece));
    }
    flood.socket.on('drain', send)
    send()
    await eventually(async () => flood.isClosed())
    assert.ok((sockets[0]?.bytesRead ?? 0) < 16_000_000, `${sockets[0]?.bytesRead} bytes were read`)
    const silent = await openSocket(own.url)
    silent.socket.allowHalfOpen = true
    silent.socket.write(head)
    await eventually(async () => sockets[1]?.destroyed === true)
    assert.match(silent.received(), /^HTTP\/1\.1 4/)
  })
}
