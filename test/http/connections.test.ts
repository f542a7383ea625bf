import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError } from '../support/answers.ts'
import { newUser, startApp, type TestService } from '../support/app.ts'
import { eventually } from '../support/process.ts'
import { requestBytes, sendRaw, sendRequest } from '../support/raw-http.ts'
import { openSocket, openSockets } from '../support/sockets.ts'

const health = requestBytes(['GET /health HTTP/1.1', 'Host: test'])

function connectionsOf({ app }: TestService): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  app.server.getConnections((_, count) => resolve(count))
  return promise
}

test('2,000 idle connections are carried, requests go on beside them, and their memory is little and comes back', async () => {
  const service = await startApp()
  const user = service.as(newUser())
  const before = process.memoryUsage().rss
  const clients = await openSockets(service.url, 2_000)
  for (const { socket } of clients) socket.write(health)
  await eventually(async () => clients.every(({ received }) => received().includes('"success"')))
  assert.ok((await connectionsOf(service)) >= 2_000)
  assert.equal((await user.get('/api/me/tasks')).status, 200)
  // Both ends are in this process; a connection that kept a buffer of 64 KiB would show.
  const eachBytes = (process.memoryUsage().rss - before) / clients.length
  assert.ok(eachBytes < 131_072, `${eachBytes} bytes each`)
  for (const { socket } of clients) socket.destroy()
  await eventually(async () => (await connectionsOf(service)) < 10)
  assert.equal((await user.get('/api/me/tasks')).status, 200)
})

test('beyond the bound connections are closed at once, and idle ones make room', async () => {
  const service = await startApp({ bounds: { maxConnections: 20, checkIntervalMs: 50 } })
  const idle = await openSockets(service.url, 20)
  for (const { socket } of idle) socket.write(health)
  await eventually(async () => idle.every(({ received }) => received().includes('"success"')))
  const refused = await openSocket(service.url)
  await eventually(async () => refused.isClosed())
  assert.equal(refused.received(), '')
  await eventually(async () => idle.every(({ isClosed }) => isClosed()))
  assert.equal((await service.anonymous().get('/health')).status, 200)
  const line = service.logs.find(({ msg }) => msg === 'connections refused: too many are open')
  assert.deepEqual([line?.level, line?.max_connections], [40, 20])
  assert.ok(Number(line?.refused) >= 1)
})

test('connections with a request under way are not closed to make room', async () => {
  const service = await startApp({ bounds: { maxConnections: 2, checkIntervalMs: 50 } })
  const user = service.as(newUser())
  const stream = await openSocket(service.url)
  stream.socket.write(
    requestBytes([
      'GET /api/me/changes/stream HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${user.token}`,
    ]),
  )
  await eventually(async () => stream.received().includes('event: ready'))
  const idle = await openSocket(service.url)
  idle.socket.write(health)
  await eventually(async () => idle.received().includes('"success"'))
  const refused = await openSocket(service.url)
  await eventually(async () => refused.isClosed() && idle.isClosed())
  assert.equal(stream.isClosed(), false)
})

test('a connection on which nothing is asked any more is closed', async () => {
  const service = await startApp({ bounds: { idleTimeoutMs: 100, checkIntervalMs: 50 } })
  const client = await openSocket(service.url)
  client.socket.write(health)
  await eventually(async () => client.isClosed())
  assert.match(client.received(), /^HTTP\/1\.1 200 /)
})

test('up to 100 header fields are taken; one more is 431, and none is left out in silence', async () => {
  const { url } = await startApp()
  // Host and Connection are two.
  const fields = (count: number) => Array.from({ length: count }, (_, n) => `X-${n}: ${n}`)
  assert.equal((await sendRequest(url, ['GET /health HTTP/1.1', ...fields(98)])).status, 200)
  for (const count of [99, 1_000]) {
    const answer = await sendRequest(url, ['GET /health HTTP/1.1', ...fields(count)])
    assertError(answer, 431, 'HEADERS_TOO_LARGE')
    assert.equal(answer.headers.get('connection'), 'close')
  }
})

test('a URL and headers of more than 16 KiB are 431', async () => {
  const { url } = await startApp()
  assert.equal((await sendRequest(url, [`GET /health?${'x'.repeat(15_000)} HTTP/1.1`])).status, 200)
  for (const lines of [
    [`GET /health?${'x'.repeat(17_000)} HTTP/1.1`, 'Host: test'],
    ['GET /health HTTP/1.1', 'Host: test', `X: ${'x'.repeat(17_000)}`],
    ['GET /health HTTP/1.1', 'Host: test', ...Array.from({ length: 5_000 }, () => 'a: b')],
  ]) {
    const [answer] = await sendRaw(url, requestBytes(lines))
    assert.ok(answer)
    assertError(answer, 431, 'HEADERS_TOO_LARGE')
  }
})

test('a request with two Hosts is 400, whatever they say', async () => {
  const { url } = await startApp()
  for (const host of ['test', 'other']) {
    // The other Host is put there by sendRequest.
    const answer = await sendRequest(url, ['GET /health HTTP/1.1', `HOST: ${host}`])
    assertError(answer, 400, 'BAD_REQUEST')
    assert.equal(answer.headers.get('connection'), 'close')
  }
})

test('of more pipelined requests than are taken the rest is refused, the connection closed, and nothing done for it', async () => {
  const service = await startApp({ bounds: { maxPipelined: 4 } })
  const user = service.as(newUser())
  const body = '{"title":"x"}'
  const post = requestBytes(
    [
      'POST /api/me/tasks HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${user.token}`,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
    ],
    body,
  )
  const answers = await sendRaw(service.url, Buffer.concat(Array.from({ length: 20 }, () => post)))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 201, 201, 201, 503],
  )
  const [last] = answers.slice(-1)
  assert.ok(last)
  assertError(last, 503, 'OVERLOADED')
  assert.equal(last.headers.get('connection'), 'close')
  assert.equal((await user.get('/api/me/tasks')).body.data.length, 4)
})
