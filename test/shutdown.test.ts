import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import pg from 'pg'
import { signToken } from '../src/cli/sign-token.ts'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { EventSource } from './support/event-source.ts'
import { askUntilClosed } from './support/kept-connections.ts'
import { addressOf, eventually, runScript, startService, startServicePipedToHead } from './support/process.ts'
import { openProxy } from './support/proxy.ts'

// The service as a process on a database of its own.

const testDatabase = await createTestDatabase()
const environment = { DATABASE_URL: addressOf(testDatabase.connection), BETTER_AUTH_SECRET: testSecret }

test.after(() => testDatabase.drop())

function post(url: string, userId: string): Promise<Response> {
  return fetch(`${url}/api/me/tasks`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${signToken({ secret: testSecret, userId })}`,
      'content-type': 'application/json',
    },
    body: '{"title":"x"}',
  })
}

/** Holds the counter row of a user, so that a create of theirs waits. */
async function holdCounter(userId: string) {
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  await client.query('begin')
  await client.query('select from app.change_counters where user_id = $1 for update', [userId])
  return async () => {
    await client.query('rollback')
    await client.end()
  }
}

function waiting(): Promise<boolean> {
  return testDatabase
    .query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    )
    .then(([row]) => (row?.n ?? 0) > 0)
}

test('SIGTERM lets an open request finish, refuses new connections, and exits 0', async () => {
  const service = await startService(environment)
  const userId = newUser()
  assert.equal((await post(service.url, userId)).status, 201)
  const release = await holdCounter(userId)
  const open = post(service.url, userId)
  await eventually(waiting)
  const ended = service.end('SIGTERM')
  await eventually(async () => service.stdout().includes('"stopping"'))
  await eventually(() =>
    fetch(`${service.url}/health`).then(
      () => false,
      () => true,
    ),
  )
  await release()
  assert.equal((await open).status, 201)
  const { code, stdout } = await ended
  assert.equal(code, 0)
  assert.match(stdout, /"msg":"stopped"/)
})

test('a request that outlasts SHUTDOWN_TIMEOUT_MS is cut, and the exit is still clean', async () => {
  const service = await startService({ ...environment, SHUTDOWN_TIMEOUT_MS: '100' })
  const userId = newUser()
  assert.equal((await post(service.url, userId)).status, 201)
  const release = await holdCounter(userId)
  const open = post(service.url, userId).then(
    () => 'answered',
    () => 'cut',
  )
  await eventually(waiting)
  const { code } = await service.end('SIGTERM')
  await release()
  assert.equal(await open, 'cut')
  assert.equal(code, 0)
})

test('SIGTERM: requests on connections that are kept open are answered, whenever they come, until one says close', async () => {
  const service = await startService(environment)
  const token = signToken({ secret: testSecret, userId: newUser() })
  const clients = askUntilClosed(service.url, token, 100)
  await clients.answered
  const ended = service.end('SIGTERM')
  await clients.stopped
  assert.equal((await ended).code, 0)
})

test('SIGTERM with SHUTDOWN_DELAY_MS: /ready turns 503 at once, and requests are served on until it is over', async () => {
  const service = await startService({
    ...environment,
    SHUTDOWN_DELAY_MS: '60000',
    SHUTDOWN_TIMEOUT_MS: '3000',
  })
  const ended = service.end('SIGTERM')
  await eventually(async () => (await fetch(`${service.url}/ready`)).status === 503)
  const created = await post(service.url, newUser())
  assert.equal(created.status, 201)
  assert.equal(created.headers.get('connection'), 'close')
  assert.equal((await ended).code, 0, 'it ends within SHUTDOWN_TIMEOUT_MS all the same')
})

test('a stream is told to reconnect when nobody can connect any more, and the stop does not wait for its client', async () => {
  const service = await startService(environment)
  const userId = newUser()
  const stream = await EventSource.open(service.url, signToken({ secret: testSecret, userId }))
  await stream.received(1)
  const { code } = await service.end('SIGTERM')
  assert.equal(code, 0)
  await stream.ended()
  assert.deepEqual(stream.names, ['ready', 'reconnect'])
})

/** A port that was free a moment ago: nobody can read which one the service would take. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

for (const nodeEnv of ['development', 'production']) {
  test(`in ${nodeEnv}, when nobody reads the log any more, it starts and serves on, and SIGTERM ends it with 0`, async () => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const service = await startServicePipedToHead({ ...environment, NODE_ENV: nodeEnv }, port)
    await eventually(async () => (await fetch(`${url}/ready`).catch(() => undefined))?.status === 200)
    for (let n = 0; n < 3; n++) assert.equal((await post(url, newUser())).status, 201)
    process.kill(service.pid, 'SIGTERM')
    assert.equal(await service.ended(), 0)
  })
}

test('in production the start-up message is left out and the log tells the address', async () => {
  const service = await startService({ ...environment, NODE_ENV: 'production' })
  const { code, stdout } = await service.end('SIGTERM')
  assert.equal(code, 0)
  assert.doesNotMatch(stdout, /curl/)
  for (const line of stdout.trim().split('\n')) assert.doesNotThrow(() => JSON.parse(line), line)
})

test('a database that is away at the start: the service listens, says so, and serves once it is there', async () => {
  const proxy = await openProxy(testDatabase.connection)
  proxy.refuse()
  const { user, password, database } = testDatabase.connection
  const address = addressOf({
    host: '127.0.0.1',
    port: proxy.port,
    ...(user && { user }),
    ...(password && { password }),
    ...(database && { database }),
  })
  const service = await startService({ ...environment, DATABASE_URL: address })
  assert.equal((await fetch(`${service.url}/health`)).status, 200)
  const ready = await fetch(`${service.url}/ready`)
  assert.equal(ready.status, 503)
  assert.match(await ready.text(), /"NOT_READY".*the database does not answer/)
  const refused = await post(service.url, newUser())
  assert.equal(refused.status, 503)
  assert.equal(refused.headers.get('retry-after'), '1')
  assert.match(await refused.text(), /"DATABASE_UNAVAILABLE"/)
  proxy.forward()
  await eventually(async () => (await fetch(`${service.url}/ready`)).status === 200)
  assert.equal((await post(service.url, newUser())).status, 201)
  assert.equal((await service.end('SIGTERM')).code, 0)
  await proxy.close()
})

test('a database that lost its wall is refused with what is wrong', async () => {
  const broken = await createTestDatabase()
  try {
    await broken.query('alter table app.tasks no force row level security')
    const { code, stderr } = await runScript('src/main.ts', [], {
      ...environment,
      PORT: '0',
      DATABASE_URL: addressOf(broken.connection),
    })
    assert.equal(code, 1)
    assert.match(stderr, /refusing to serve: row-level security of app\.tasks is not forced/)
    assert.doesNotMatch(stderr, /\n +at /)
  } finally {
    await broken.drop()
  }
})
