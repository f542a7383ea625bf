import assert from 'node:assert/strict'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'
import { after, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { createApp } from '../../src/app.ts'
import { createVerifier } from '../../src/auth/verifier.ts'
import { signToken } from '../../src/cli/sign-token.ts'
import { openDatabase } from '../../src/db/database.ts'
import { createLogger } from '../../src/ops/logging.ts'
import { type Answer, newUser, testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'

// The database goes away in every way there is, and comes back, under a service that goes on.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

/** The network between the service and PostgreSQL. */
class Network {
  /** How many answers of the server each connection gets, the login being the first, before nothing passes any more. */
  answers = Number.POSITIVE_INFINITY
  /** How late each answer is. */
  delayMs = 0
  #server: Server | undefined
  #port = 0
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  readonly #target = new pg.Client(testDatabase.connection)

  async connect(): Promise<pg.ClientConfig> {
    const server = createServer((client) => this.#join(client))
    await new Promise<void>((listening) => server.listen(this.#port, '127.0.0.1', listening))
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
    return { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: this.#port }
  }

  /** Refuses connections from now on, and resets those there are. */
  disconnect(): void {
    this.#server?.close()
    this.reset()
  }

  reset(): void {
    for (const [client, server] of this.#pairs) {
      // One that is closing cannot be reset any more, and its handle would stay.
      if (client.writable) client.resetAndDestroy()
      else client.destroy()
      server.destroy()
    }
  }

  readonly pass = (): void => {
    this.answers = Number.POSITIVE_INFINITY
    this.delayMs = 0
  }

  #join(client: Socket): void {
    const { host, port } = this.#target
    const server = host.startsWith('/') ? dial(`${host}/.s.PGSQL.${port}`) : dial(port, host)
    const pair = [client, server] as const
    this.#pairs.add(pair)
    let answered = 0
    client.on('data', (chunk) => {
      if (answered < this.answers) server.write(chunk)
    })
    server.on('data', (chunk) => {
      if (answered < this.answers) setTimeout(() => client.write(chunk), this.delayMs)
      // ReadyForQuery ends an answer.
      if (chunk.subarray(-6, -1).equals(Buffer.from('Z\0\0\0\u0005'))) answered++
    })
    for (const socket of pair) {
      socket.on('error', () => {})
      socket.on('close', () => {
        for (const each of pair) each.destroy()
        this.#pairs.delete(pair)
      })
    }
  }
}

type Service = {
  readonly network: Network
  readonly database: ReturnType<typeof openDatabase>
  readonly user: string
  request(method: string, path: string, json?: object): Promise<Omit<Answer, 'text'>>
}

/** A service over such a network, and a user of it. */
async function serve(
  t: TestContext,
  { prepare = true, ...options }: { prepare?: boolean; deadlineMs?: number; poolMax?: number } = {},
): Promise<Service> {
  const cleanup = new AsyncDisposableStack()
  t.after(() => cleanup.disposeAsync())
  const network = new Network()
  const database = openDatabase({ connection: await network.connect(), poolMax: 4, ...options })
  cleanup.defer(() => database.close())
  cleanup.defer(() => network.disconnect())
  if (prepare) await database.prepare()
  const verifier = createVerifier({ secrets: [testSecret], clockToleranceS: 5 })
  const app = await createApp({ database, verifier, logger: createLogger('silent'), loopDelay: 'off' })
  cleanup.defer(() => app.close())
  cleanup.defer(() => app.server.closeAllConnections())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const user = newUser()
  const authorization = `Bearer ${signToken({ secret: testSecret, userId: user })}`
  return {
    network,
    database,
    user,
    async request(method, path, json) {
      const headers = { authorization, ...(json && { 'content-type': 'application/json' }) }
      const body = json && JSON.stringify(json)
      const response = await fetch(`${url}${path}`, { method, headers, ...(body && { body }) })
      return { status: response.status, headers: response.headers, body: await response.json() }
    },
  }
}

const list = '/api/me/tasks'

function assertUnavailable({ status, headers, body }: Omit<Answer, 'text'>): void {
  assert.deepEqual([status, body.error?.code], [503, 'DATABASE_UNAVAILABLE'])
  assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/)
}

/** Waits for something that other processes do. */
async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 4_000
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, what)
    await delay(5)
  }
}

const heals = (service: Service) =>
  until('the service heals', async () => (await service.request('GET', list)).status === 200)

/** Checks that the service says in time that the database is away, and heals by itself once it is back. */
async function assertAwayThenBack(service: Service, back: () => unknown, withinMs: number): Promise<void> {
  const from = performance.now()
  const [tasks, ready, health] = await Promise.all([
    service.request('GET', list),
    service.request('GET', '/ready'),
    service.request('GET', '/health'),
  ])
  const tookMs = performance.now() - from
  assertUnavailable(tasks)
  assert.deepEqual([ready.status, ready.body.error.code], [503, 'NOT_READY'])
  const messages = ready.body.error.details.map(({ message }: { message: string }) => message)
  assert.deepEqual(messages, ['the database does not answer'])
  assert.ok(ready.headers.has('retry-after'))
  assert.equal(health.status, 200)
  assert.ok(tookMs < withinMs, `${tookMs} ms`)
  await back()
  await heals(service)
  assert.equal((await service.request('GET', '/ready')).status, 200)
}

/** Locks the counter of a service's user, so that a write of that user waits. */
async function lockCounter(t: TestContext, { user }: Service) {
  const holder = new pg.Client(testDatabase.connection)
  await holder.connect()
  t.after(() => holder.end())
  const counter = 'insert into app.change_counters (user_id, version) values ($1, 0)'
  await testDatabase.query(counter, [user])
  await holder.query('begin')
  await holder.query('select from app.change_counters where user_id = $1 for update', [user])
  const { rows } = await holder.query<{ pid: number }>('select pg_backend_pid() as pid')
  const waiters = () =>
    testDatabase.query<{ pid: number }>(
      'select pid from pg_stat_activity where $1 = any(pg_blocking_pids(pid))',
      [rows[0]?.pid],
    )
  return {
    /** Waits until as many statements wait for the lock. @returns the process ids of their connections */
    async waiting(count: number): Promise<number[]> {
      await until(`${count} wait`, async () => (await waiters()).length === count)
      return (await waiters()).map(({ pid }) => pid)
    },
    release: () => holder.query('rollback'),
  }
}

describe('the database is away', () => {
  test('connections are refused: 503 at once', async (t) => {
    const service = await serve(t)
    service.network.disconnect()
    await assertAwayThenBack(service, () => service.network.connect(), 1_000)
  })

  test('nothing is answered any more: within 5 s by default', { timeout: 15_000 }, async (t) => {
    const service = await serve(t)
    assert.equal((await service.request('GET', list)).status, 200)
    service.network.answers = 0
    await assertAwayThenBack(service, service.network.pass, 5_000)
  })

  const stages = ['no answer', 'an answer to the login alone']
  for (const [answers, what] of stages.entries()) {
    test(`new connections get ${what}: 503 in time`, { timeout: 6_000 }, async (t) => {
      // Once there is one connection only, the one that hangs must make way.
      const service = await serve(t, { deadlineMs: 300, poolMax: 1 })
      service.network.reset()
      service.network.answers = answers
      await assertAwayThenBack(service, service.network.pass, 2_000)
    })

    test(`at the start they get ${what}: preparing fails in time, and can be repeated`, {
      timeout: 6_000,
    }, async (t) => {
      const service = await serve(t, { prepare: false, deadlineMs: 300 })
      service.network.answers = answers
      await assert.rejects(service.database.prepare(), { code: 'DATABASE_UNAVAILABLE' })
      service.network.pass()
      assert.deepEqual(await service.database.prepare(), [])
    })
  }

  test('a late login and then nothing: the two share one deadline', async (t) => {
    const service = await serve(t, { deadlineMs: 1_500 })
    service.network.reset()
    Object.assign(service.network, { answers: 1, delayMs: 1_200 })
    await assertAwayThenBack(service, service.network.pass, 2_500)
  })

  test('connections are reset in the middle of statements: 503, and the process lives on', async (t) => {
    const service = await serve(t)
    const lock = await lockCounter(t, service)
    const writes = [1, 2].map((title) => service.request('POST', list, { title: `${title}` }))
    await lock.waiting(1)
    service.network.reset()
    for (const write of writes) assertUnavailable(await write)
    await lock.release()
    await heals(service)
  })

  test('a connection is ended by the server in the middle of a statement: 503', async (t) => {
    const service = await serve(t)
    const lock = await lockCounter(t, service)
    const write = service.request('POST', list, { title: 'x' })
    const [pid] = await lock.waiting(1)
    await testDatabase.query('select pg_terminate_backend($1)', [pid])
    assertUnavailable(await write)
    await lock.release()
    await heals(service)
  })

  test('idle connections are reset: they are replaced', async (t) => {
    const service = await serve(t)
    assert.equal((await service.request('GET', list)).status, 200)
    service.network.reset()
    await heals(service)
  })

  test('at the start: everything is 503 until it is back and prepared', async (t) => {
    const service = await serve(t, { prepare: false })
    service.network.disconnect()
    await assert.rejects(service.database.prepare(), { code: 'DATABASE_UNAVAILABLE' })
    assertUnavailable(await service.request('GET', list))
    assert.equal((await service.request('GET', '/health')).status, 200)
    await service.network.connect()
    assertUnavailable(await service.request('GET', list))
    const { body } = await service.request('GET', '/ready')
    assert.equal(body.error.details[0].message, 'the wall between users is not checked yet')
    assert.deepEqual(await service.database.prepare(), [])
    assert.equal((await service.request('GET', list)).status, 200)
  })
})

describe('the database is slow', () => {
  test('a statement that runs into its time-out is 503, is over on the server, and leaves the connection', async (t) => {
    const service = await serve(t, { deadlineMs: 300, poolMax: 1 })
    const lock = await lockCounter(t, service)
    const write = service.request('POST', list, { title: 'x' })
    const pids = await lock.waiting(1)
    assertUnavailable(await write)
    assert.deepEqual(await lock.waiting(0), [])
    assert.equal((await service.request('GET', list)).status, 200, 'reading needs no counter')
    const again = service.request('POST', list, { title: 'x' })
    assert.deepEqual(await lock.waiting(1), pids, 'the same connection')
    await lock.release()
    assert.equal((await again).status, 201)
    assert.deepEqual((await service.request('GET', list)).body.data.length, 1, 'the first was not written')
  })

  test('while the only connection waits, further requests are 503 as well, and not kept waiting for good', async (t) => {
    const service = await serve(t, { deadlineMs: 400, poolMax: 1 })
    const lock = await lockCounter(t, service)
    const from = performance.now()
    const writes = [1, 2, 3, 4].map(() => service.request('POST', list, { title: 'x' }))
    for (const write of writes) assertUnavailable(await write)
    const tookMs = performance.now() - from
    assert.ok(tookMs < 2_000, `${tookMs} ms`)
    await lock.release()
    assert.equal((await service.request('POST', list, { title: 'x' })).status, 201)
    assert.equal((await service.request('GET', list)).body.data.length, 1)
  })
})
