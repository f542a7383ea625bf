import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import { logLinesOf } from '../support/answers.ts'
import { makeTask, newUser, startApp, testSecret } from '../support/app.ts'
import { EventSource } from '../support/event-source.ts'
import { eventually } from '../support/process.ts'
import { requestBytes } from '../support/raw-http.ts'

// How a stream ends: with its token, with the service, with a client that sends garbage or does not read.

const service = await startApp({ streams: { heartbeatMs: 100, drainMs: 400 }, clockToleranceS: 2 })
const { url } = service

/** A raw connection with an open stream on it, and what arrives. */
async function openRaw(token: string, requestId: string) {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  const received = { text: '', isClosed: false }
  socket.on('error', () => {})
  for (const event of ['end', 'close']) {
    socket.on(event, () => {
      received.isClosed = true
    })
  }
  socket.on('data', (chunk: Buffer) => {
    received.text += chunk
  })
  const lines = ['GET /api/me/changes/stream HTTP/1.1', 'Host: test', `Authorization: Bearer ${token}`]
  socket.write(requestBytes([...lines, `X-Request-Id: ${requestId}`]))
  await eventually(async () => received.text.includes('event: ready'))
  return { socket, received }
}

test('a stream ends when a request with its token is refused, and not before', async () => {
  const userId = newUser()
  // Past its expiry by a second: taken for one more, for clocks that differ.
  for (const expiresInS of [1, -1]) {
    const token = signToken({ secret: testSecret, userId, expiresInS })
    const stream = await EventSource.open(url, token)
    await stream.received(1)
    await stream.ended()
    assert.deepEqual(stream.names, ['ready', 'token_expired'])
    assert.equal(stream.events[1]?.data, '{}')
    const answer = await service.anonymous(`Bearer ${token}`).get('/api/me/tasks')
    assert.equal(answer.body.error.code, 'TOKEN_EXPIRED')
  }
})

test('a token that is good for longer than a timer can wait ends nothing', async () => {
  const userId = newUser()
  for (const expiresInS of [2 ** 31 / 1000 + 10, 1e9, 8e12 - 2e9]) {
    const stream = await EventSource.open(url, signToken({ secret: testSecret, userId, expiresInS }))
    await eventually(async () => stream.comments >= 3)
    assert.deepEqual([stream.names, stream.hasEnded], [['ready'], false])
    stream.close()
  }
})

for (const [what, bytes] of [
  ['garbage', 'GARBAGE\r\n\r\n'],
  ['a request without Host that is cut by garbage', 'GET /health HTTP/1.1\r\n\0\r\n\r\n'],
  ['garbage behind another request', 'GET /health HTTP/1.1\r\nHost: test\r\n\r\nGARBAGE\r\n\r\n'],
] as const) {
  test(`${what} on the connection of a stream ends it, and no answer is put into the stream`, async () => {
    const user = service.as(newUser())
    const requestId = newUser()
    const { socket, received } = await openRaw(user.token, requestId)
    socket.write(bytes)
    await eventually(async () => received.isClosed)
    assert.equal(received.text.split('HTTP/1.1').length, 2, received.text)
    assert.ok(!received.text.includes('BAD_REQUEST'))
    assert.ok((await logLinesOf(service, requestId)).some(({ msg }) => msg === 'request'))
  })
}

test('a client that ends its side, or is gone, leaves nothing behind', async () => {
  const user = service.as(newUser())
  for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
    const requestId = newUser()
    const { socket } = await openRaw(user.token, requestId)
    socket[leave]()
    await logLinesOf(service, requestId)
    socket.destroy()
  }
  // Nobody listens: the counter is not asked for any more.
  await eventually(async () => {
    const before = service.database.roundTrips
    await new Promise((resolve) => setTimeout(resolve, 900))
    return service.database.roundTrips === before
  })
})

test('a client that does not read is cut off, and nobody else notices', async () => {
  const user = service.as(newUser())
  const requestId = newUser()
  const { socket, received } = await openRaw(user.token, requestId)
  socket.pause()
  const stream = await EventSource.open(url, user.token)
  await stream.received(1)
  // 40 kB each in UTF-8; round by round until more is on its way than the buffers of both sides hold.
  const tasks = await Promise.all(Array.from({ length: 50 }, () => makeTask(user)))
  let rounds = 0
  await eventually(async () => {
    const description = `${rounds++} ${'\u{1f600}'.repeat(9_900)}`
    const answers = await Promise.all(
      tasks.map(({ id }) => user.patch(`/api/me/tasks/${id}`, { description })),
    )
    for (const { status, text } of answers) assert.equal(status, 200, text)
    return service.logs.some(({ msg, request_id }) => msg === 'request' && request_id === requestId)
  }, 60_000)
  assert.ok(service.logs.some(({ msg }) => msg === 'stream cut off: its client does not read'))
  const [line] = await logLinesOf(service, requestId)
  assert.equal(line?.aborted, true)
  const lastVersion = tasks.length * (1 + rounds)
  await eventually(async () => {
    assert.ok(!stream.hasEnded, 'the other stream goes on')
    return /"version":(\d+)\b/.exec(stream.events.at(-1)?.data ?? '')?.[1] === String(lastVersion)
  })
  assert.ok(!received.text.includes('event: change'), 'it has read nothing')
  socket.destroy()
})

test('at shutdown every stream is told to come again and ends; one that does not read is cut', async () => {
  const own = await startApp({ streams: { heartbeatMs: 100 } })
  const user = own.as(newUser())
  const streams = await Promise.all(Array.from({ length: 5 }, () => EventSource.open(own.url, user.token)))
  for (const stream of streams) await stream.received(1)
  await own.stop()
  for (const stream of streams) {
    await stream.ended()
    assert.deepEqual(stream.names, ['ready', 'reconnect'])
  }
  const lines = own.logs.filter(({ msg, route }) => msg === 'request' && String(route).endsWith('/stream'))
  assert.deepEqual(
    lines.map(({ status, aborted }) => [status, aborted]),
    streams.map(() => [200, undefined]),
  )
})
