import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, makeTask, newUser, startApp, type TestService } from '../support/app.ts'
import { eventually } from '../support/process.ts'
import { requestBytes } from '../support/raw-http.ts'
import { openSocket, openSockets, type RawClient } from '../support/sockets.ts'

/** Sends a byte now and then until the connection is closed; fails where nobody closes it. */
async function drip({ socket, isClosed }: RawClient, byte = 'x'): Promise<void> {
  try {
    await eventually(async () => {
      if (!isClosed()) socket.write(byte)
      return isClosed()
    })
  } finally {
    // Or the stop of the service would wait for it.
    socket.destroy()
  }
}

const postHead = (user: Client, path: string, type: string, length: number) =>
  requestBytes([
    `POST ${path} HTTP/1.1`,
    'Host: test',
    'X-Request-Id: slow-1',
    `Authorization: Bearer ${user.token}`,
    `Content-Type: ${type}`,
    `Content-Length: ${length}`,
  ])

test('200 connections that drip headers are cut with 408, and requests go on meanwhile', async () => {
  const service = await startApp({ bounds: { headersTimeoutMs: 400, checkIntervalMs: 100 } })
  const user = service.as(newUser())
  const clients = await openSockets(service.url, 200)
  for (const { socket } of clients) socket.write('GET /health HTTP/1.1\r\nHost: test\r\nX-Slow: ')
  const dripping = Promise.all(clients.map((client) => drip(client)))
  await eventually(async () => {
    await makeTask(user)
    return clients.every(({ isClosed }) => isClosed())
  })
  await dripping
  for (const { received } of clients) {
    if (received() !== '') assert.match(received(), /^HTTP\/1\.1 408 [\s\S]*"REQUEST_TIMEOUT"/)
  }
  assert.ok(clients.some(({ received }) => received() !== ''))
})

test('a connection on which nothing is ever asked is closed', async () => {
  const service = await startApp({ bounds: { headersTimeoutMs: 200, checkIntervalMs: 50 } })
  const client = await openSocket(service.url)
  await eventually(async () => client.isClosed())
})

test('a body that drips is cut with 408 under the id of its request, and nothing is written', async () => {
  const service = await startApp({ bounds: { bodyTimeoutMs: 300 } })
  const user = service.as(newUser())
  const client = await openSocket(service.url)
  client.socket.write(postHead(user, '/api/me/tasks', 'application/json', 1_000))
  await drip(client, ' ')
  assert.match(client.received(), /^HTTP\/1\.1 408 /)
  assert.match(client.received(), /x-request-id: slow-1\r\n/)
  assert.match(client.received(), /"REQUEST_TIMEOUT"[\s\S]*"request_id":"slow-1"/)
  await eventually(async () =>
    service.logs.some(({ msg, status }) => msg === 'request unreadable' && status === 408),
  )
  assert.deepEqual((await user.get('/api/me/tasks')).body.data, [])
})

test('a body that drips after its request was refused is cut too, without a second answer', async () => {
  const service = await startApp({ bounds: { bodyTimeoutMs: 300 } })
  const client = await openSocket(service.url)
  client.socket.write(requestBytes(['POST /api/me/tasks HTTP/1.1', 'Host: test', 'Content-Length: 100000']))
  await drip(client)
  assert.match(client.received(), /^HTTP\/1\.1 401 /)
  assert.equal(client.received().match(/HTTP\/1\.1/g)?.length, 1)
})

test('a body in pieces that comes in time is taken, and the connection serves on after the time', async () => {
  const service = await startApp({ bounds: { bodyTimeoutMs: 1_000 } })
  const user = service.as(newUser())
  const client = await openSocket(service.url)
  const [first, second] = ['{"title":', '"In two pieces"}']
  client.socket.write(postHead(user, '/api/me/tasks', 'application/json', first.length + second.length))
  client.socket.write(first)
  await delay(50)
  client.socket.write(second)
  await eventually(async () => client.received().includes('"In two pieces"'))
  await delay(1_200)
  client.socket.write(requestBytes(['GET /health HTTP/1.1', 'Host: test']))
  await eventually(async () => client.received().match(/HTTP\/1\.1 20[01]/g)?.length === 2)
})

test('an import has longer than the time when it comes at a fair rate, and is cut when it drips', async () => {
  const service = await startApp({ bounds: { bodyTimeoutMs: 500, minBytesPerS: 50_000 } })
  const user = service.as(newUser())
  const ndjson = 'application/x-ndjson'
  const piece = `${JSON.stringify({ title: 'x' })}${' '.repeat(65_536)}\n`
  const fair = await openSocket(service.url)
  const slow = await openSocket(service.url)
  slow.socket.write(postHead(user, '/api/me/import', ndjson, 1_000_000))
  const dripping = drip(slow, '\n')
  fair.socket.write(postHead(user, '/api/me/import', ndjson, 10 * piece.length))
  for (let n = 0; n < 10; n++) {
    fair.socket.write(piece)
    await delay(150)
  }
  await eventually(async () => fair.received().includes('"created":10'))
  await dripping
  assert.match(slow.received(), /^HTTP\/1\.1 408 /)
})

/** A user whose list, of 5 MB, is longer than what a connection holds in the buffers of the system for who reads nothing. */
async function userWithLongList(service: TestService): Promise<Client> {
  const user = service.as(newUser())
  const task = { title: 'x', description: 'x'.repeat(10_000) }
  const operations = Array.from({ length: 100 }, () => ({ op: 'create', task }))
  for (let n = 0; n < 5; n++)
    assert.equal((await user.post('/api/me/tasks/batch', { operations })).status, 200)
  return user
}

const lists = (user: Client, count: number) =>
  Buffer.concat(
    Array.from({ length: count }, () =>
      requestBytes([
        'GET /api/me/tasks?limit=500 HTTP/1.1',
        'Host: test',
        `Authorization: Bearer ${user.token}`,
      ]),
    ),
  )

const cutOff = ({ logs }: TestService) =>
  logs
    .filter(({ msg }) => msg === 'answers cut off: their clients do not read')
    .reduce((sum, { count }) => sum + Number(count), 0)

test('answers that are not taken are cut, those that wait behind them too', async () => {
  const service = await startApp({
    bounds: { answerTimeoutMs: 300, minBytesPerS: 1_000_000_000, checkIntervalMs: 50 },
  })
  const user = await userWithLongList(service)
  let open = 0
  service.app.server.on('connection', (socket) => {
    open++
    socket.once('close', () => open--)
  })
  for (let n = 0; n < 5; n++) {
    const { socket } = await openSocket(service.url, { reads: false })
    socket.write(lists(user, 3))
  }
  await eventually(async () => cutOff(service) >= 5 && open === 0)
  assert.equal((await user.get('/api/me/tasks?limit=1')).status, 200)
})

test('an answer that is taken slowly arrives whole, as long as it is at a fair rate', async () => {
  const service = await startApp({
    bounds: { answerTimeoutMs: 300, minBytesPerS: 100_000, checkIntervalMs: 50 },
  })
  const user = await userWithLongList(service)
  const { socket, received, isClosed } = await openSocket(service.url)
  socket.write(lists(user, 2))
  const complete = () => received().length > 10_000_000
  // In steps of up to 64 KiB.
  socket.on('data', () => {
    socket.pause()
    setImmediate(() => socket.resume())
  })
  await eventually(async () => complete() || isClosed())
  assert.ok(complete())
  assert.equal(cutOff(service), 0)
})

test('of too many bytes that are not taken the oldest are cut, long before their time', async () => {
  const service = await startApp({ bounds: { maxUnreadBytes: 8_000_000, checkIntervalMs: 50 } })
  const user = await userWithLongList(service)
  let closed = 0
  service.app.server.on('connection', (socket) => socket.once('close', () => closed++))
  for (let n = 0; n < 4; n++) {
    const { socket } = await openSocket(service.url, { reads: false })
    socket.write(lists(user, 2))
  }
  await eventually(async () => cutOff(service) >= 1 && closed >= 1)
  assert.equal((await user.get('/api/me/tasks?limit=500')).body.data.length, 500)
})
