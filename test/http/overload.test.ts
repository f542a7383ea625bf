import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { LoopDelay } from '../../src/ops/overload.ts'
import { assertError } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp, type TestService } from '../support/app.ts'
import { eventually } from '../support/process.ts'
import { requestBytes, sendRaw } from '../support/raw-http.ts'
import { openSocket, openStreamSocket } from '../support/sockets.ts'

/** Keeps all writes of a user waiting, until the function that is returned is called. */
async function holdWritesOf({ testDatabase }: TestService, { userId }: Client): Promise<() => Promise<void>> {
  const holder = new pg.Client(testDatabase.connection)
  await holder.connect()
  await holder.query('begin')
  await holder.query('select 1 from app.change_counters where user_id = $1 for update', [userId])
  return () => holder.end()
}

test('more than may wait for the database is refused at once, before the token; what has begun is finished', async () => {
  const service = await startApp({ poolMax: 1, maxWaiting: 2 })
  const user = service.as(newUser())
  await makeTask(user)
  const stream = await openStreamSocket(service.url, user.token)
  const release = await holdWritesOf(service, user)
  // One at the database, two that wait for it: with a key each has a connection for itself.
  const underWay: Promise<{ status: number }>[] = []
  for (let n = 0; n < 3; n++) {
    underWay.push(user.post('/api/me/tasks', { title: `Task ${n}` }, { 'idempotency-key': `key-${n}` }))
  }
  await eventually(async () => service.database.isFull)

  const refused = await user.get('/api/me/tasks', { 'x-request-id': 'mine' })
  assertError(refused, 503, 'OVERLOADED')
  assert.equal(refused.headers.get('x-request-id'), 'mine')
  assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]$/)
  for (const path of [
    '/api/me/tasks',
    '/api/other/tasks',
    '/api/me/nothing',
    '/api',
    '/%61pi/me/tasks?%zz',
  ]) {
    assertError(await service.anonymous().get(path), 503, 'OVERLOADED')
  }
  assertError(await user.post('/api/me/tasks', { title: 'x'.repeat(200_000) }), 503, 'OVERLOADED')
  for (const path of ['/health', '/openapi.json', '/apis', '/']) {
    assert.notEqual((await service.anonymous().get(path)).status, 503, path)
  }
  // It waits its turn: the database is busy, and there.
  const ready = service.anonymous().get('/ready')

  await release()
  for (const each of underWay) assert.equal((await each).status, 201)
  assert.equal((await ready).status, 200)
  assert.equal((await user.get('/api/me/tasks')).body.data.length, 4)
  await eventually(async () => stream.received().match(/event: change/g)?.length === 3)
  assert.equal(stream.isClosed(), false)
  const line = service.logs.find(({ msg }) => msg === 'overloaded: requests are refused')
  assert.deepEqual([line?.level, line?.reason, line?.refused], [40, 'database queue', 1])
})

test('a refused request leaves its connection whole, and a long body closes it', async () => {
  const service = await startApp({ poolMax: 1, maxWaiting: 0 })
  const post = (length: number, ...more: string[]) =>
    requestBytes(
      ['POST /api/me/tasks HTTP/1.1', 'Host: test', `Content-Length: ${length}`, ...more],
      ' '.repeat(length),
    )
  const answers = await sendRaw(service.url, Buffer.concat([post(100), post(100), post(100_000)]))
  assert.deepEqual(
    answers.map(({ status, headers }) => [status, headers.get('connection')]),
    [
      [503, 'keep-alive'],
      [503, 'keep-alive'],
      [503, 'close'],
    ],
  )
})

test('requests that were let in together are not more than may wait, either', async () => {
  const service = await startApp({ poolMax: 1, maxWaiting: 2 })
  const user = service.as(newUser())
  await makeTask(user)
  const release = await holdWritesOf(service, user)
  const create = (key: number) =>
    requestBytes(
      [
        'POST /api/me/tasks HTTP/1.1',
        'Host: test',
        `Authorization: Bearer ${user.token}`,
        'Content-Type: application/json',
        // With it each has a connection for itself.
        `Idempotency-Key: key-${key}`,
        'Content-Length: 13',
      ],
      '{"title":"x"}',
    )
  const many = Buffer.concat(Array.from({ length: 10 }, (_, key) => create(key)))
  const client = await openSocket(service.url)
  client.socket.write(many)
  await eventually(async () => service.database.isFull)
  await release()
  await eventually(async () => client.received().match(/HTTP\/1\.1 \d+/g)?.length === 10)
  const statuses = client.received().match(/HTTP\/1\.1 \d+/g)
  assert.deepEqual(statuses, [...Array(3).fill('HTTP/1.1 201'), ...Array(7).fill('HTTP/1.1 503')])
  assert.equal(client.received().match(/"OVERLOADED"/g)?.length, 7)
  assert.equal((await user.get('/api/me/tasks')).body.data.length, 4)
})

/** Blocks the event loop again and again, until the function that is returned is called. */
function blockLoop(forMs: number): () => void {
  let isOn = true
  const block = () => {
    const end = performance.now() + forMs
    while (performance.now() < end);
    if (isOn) setImmediate(block)
  }
  block()
  return () => {
    isOn = false
  }
}

test('while the event loop is delayed requests are refused, and no longer', async () => {
  const service = await startApp({
    loopDelay: { intervalMs: 10, highMs: 20, looksToBegin: 3, lowMs: 15, looksToEnd: 2 },
  })
  const user = service.as(newUser())
  const stream = await openStreamSocket(service.url, user.token)
  const stop = blockLoop(40)
  try {
    await eventually(async () => (await user.get('/api/me/tasks')).status === 503)
    assert.equal((await service.anonymous().get('/health')).status, 200)
    assert.equal((await service.anonymous().get('/ready')).status, 200)
  } finally {
    stop()
  }
  await eventually(async () => (await user.get('/api/me/tasks')).status === 200)
  await eventually(async () => (await user.post('/api/me/tasks', { title: 'x' })).status === 201)
  await eventually(async () => stream.received().includes('event: change'))
})

test('it takes several late looks in a row to begin, and several in time to end', () => {
  const bounds = { intervalMs: 100, highMs: 200, looksToBegin: 3, lowMs: 100, looksToEnd: 2 }
  const states = (...late: number[]) => {
    const delay = new LoopDelay(bounds)
    return late.map((each) => {
      delay.look(each)
      return delay.isHigh
    })
  }
  // One garbage collection, or two, and a machine that slept.
  assert.deepEqual(states(5_000, 0, 300, 300, 0, 300), Array(6).fill(false))
  assert.deepEqual(states(201, 201, 201, 150, 99, 150, 99, 100, 201), [
    false,
    false,
    true,
    true,
    true,
    true,
    true,
    false,
    false,
  ])
  assert.deepEqual(states(200, 200, 200, 200), Array(4).fill(false))
})
