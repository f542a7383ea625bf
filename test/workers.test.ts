import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { connect, createServer } from 'node:net'
import { after, test } from 'node:test'
import { signToken } from '../src/cli/sign-token.ts'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { EventSource } from './support/event-source.ts'
import { addressOf, eventually, runScript } from './support/process.ts'
import { noRedis, startRedis } from './support/redis.ts'
import { startWorkers } from './support/workers.ts'

// The service as several processes, on a database of its own: what they share.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())
const environment = {
  DATABASE_URL: addressOf(testDatabase.connection),
  BETTER_AUTH_SECRET: testSecret,
  RATE_LIMIT_PER_MINUTE: '0',
}

const tokenOf = (userId: string) => signToken({ secret: testSecret, userId })

/** One request over a connection of its own. */
async function ask(url: string, authorization: string, path = '/api/me/tasks') {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  get(new URL(path, url), { agent: new Agent(), headers: { authorization } }, resolve).on('error', reject)
  const answer = await promise
  for await (const _chunk of answer);
  return { status: answer.statusCode, headers: answer.headers }
}

async function create(url: string, userId: string, title: string): Promise<void> {
  const { status } = await fetch(`${url}/api/me/tasks`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tokenOf(userId)}`,
      'content-type': 'application/json',
      connection: 'close',
    },
    body: JSON.stringify({ title }),
  })
  assert.equal(status, 201)
}

test('all workers serve on one port, as one instance that is started once', async () => {
  const service = await startWorkers({ ...environment, WORKERS: '3' })
  assert.equal((await fetch(`${service.url}/ready`)).status, 200)
  const userId = newUser()
  await Promise.all(Array.from({ length: 30 }, () => ask(service.url, `Bearer ${tokenOf(userId)}`)))
  const served = await eventually(async () => {
    const lines = service.logs().filter(({ msg, user_id }) => msg === 'request' && user_id === userId)
    return lines.length === 30 && lines
  })
  assert.deepEqual(new Set(served.map(({ worker }) => worker)), new Set([1, 2, 3]))
  assert.equal(new Set([...service.pids().values(), service.child.pid]).size, 4, 'a process each')
  assert.equal(service.stdout().match(/backend-core is ready/g)?.length, 1)
  const [started, ...more] = service.logs().filter(({ msg }) => msg === 'started')
  assert.deepEqual([started?.workers, started?.worker, more], [3, undefined, []])
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('the limit of a user holds for all workers together, to the request', async () => {
  const service = await startWorkers({ ...environment, RATE_LIMIT_PER_MINUTE: '30' })
  // Of a limit of 30 a minute one request becomes free every 2 s: a slow machine is given the time that it takes.
  const startedAt = performance.now()
  const userId = newUser()
  const answers = await Promise.all(
    Array.from({ length: 60 }, () => ask(service.url, `Bearer ${tokenOf(userId)}`)),
  )
  const freed = Math.floor((performance.now() - startedAt) / 2_000)
  const passed = answers.filter(({ status }) => status === 200).length
  assert.ok(passed >= 30 && passed <= 30 + freed, `${passed} passed, ${freed} became free`)
  assert.equal(answers.filter(({ status }) => status === 429).length, 60 - passed)
  const left = answers.map(({ headers }) => Number(/r=(\d+)/.exec(String(headers.ratelimit))?.[1]))
  if (freed === 0) assert.deepEqual(new Set(left), new Set(Array.from({ length: 30 }, (_, n) => n)))
  const workers = () =>
    new Set(service.logs().flatMap(({ msg, worker }) => (msg === 'request' ? [worker] : [])))
  await eventually(async () => workers().size === 2)
  const other = await ask(service.url, `Bearer ${tokenOf(newUser())}`)
  assert.equal(other.status, 200)
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('so does the limit of tokens that are refused, by address', async () => {
  const service = await startWorkers({ ...environment, RATE_LIMIT_PER_MINUTE: '10' })
  const startedAt = performance.now()
  const answers = await Promise.all(Array.from({ length: 40 }, () => ask(service.url, 'Bearer x')))
  const freed = Math.floor((performance.now() - startedAt) / 6_000)
  const refused = answers.filter(({ status }) => status === 401).length
  assert.ok(refused >= 10 && refused <= 10 + freed, `${refused} looked at, ${freed} became free`)
  assert.equal(answers.filter(({ status }) => status === 429).length, 40 - refused)
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('so do the limits of accounts inside, whose secret and keys are the same for all workers', async () => {
  const { BETTER_AUTH_SECRET, ...rest } = environment
  const service = await startWorkers({ ...rest, BETTER_AUTH_SECRET, ACCOUNTS: 'inside' })
  const email = `${randomBytes(8).toString('hex')}@example.com`
  const signIn = (password: string) =>
    fetch(`${service.url}/api/auth/sign-in/email`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ email, password }),
    })
  const signedUp = await fetch(`${service.url}/api/auth/sign-up/email`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'x', email, password: 'buy-more-milk' }),
  })
  assert.equal(signedUp.status, 200)
  const { token: session } = (await signedUp.json()) as { token: string }
  const authorization = `Bearer ${session}`
  const { token } = (await (
    await fetch(`${service.url}/api/auth/token`, { headers: { authorization } })
  ).json()) as { token: string }
  const listed = await Promise.all(Array.from({ length: 8 }, () => ask(service.url, `Bearer ${token}`)))
  assert.deepEqual(new Set(listed.map(({ status }) => status)), new Set([200]))
  // Three in 10 s, of which a slow machine may see more become free.
  const startedAt = performance.now()
  const answers = await Promise.all(Array.from({ length: 12 }, () => signIn('wrong-password')))
  const freed = Math.floor((performance.now() - startedAt) / 3_333) + 1
  const tried = answers.filter(({ status }) => status === 401).length
  assert.ok(tried >= 2 && tried <= 3 + freed && tried < 12, `${tried} tried, ${freed} became free`)
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('with a Redis the workers count there', { skip: noRedis }, async () => {
  if (noRedis) return
  const redis = await startRedis()
  after(() => redis.stop())
  const limits = { RATE_LIMIT_PER_MINUTE: '30', RATE_LIMIT_REDIS_URL: redis.url }
  const [one, two] = await Promise.all([
    startWorkers({ ...environment, ...limits }),
    startWorkers({ ...environment, ...limits }),
  ])
  const [connected, away] = [
    'rate limits are counted in Redis',
    'Redis is away; this instance counts rate limits by itself',
  ]
  const said = (service: typeof one, worker: number) =>
    service.logs().filter((line) => line.worker === worker && (line.msg === connected || line.msg === away))
  const areConnected = () =>
    [one, two].every((each) => [1, 2].every((worker) => said(each, worker).at(-1)?.msg === connected))
  const timesAway = () => [one, two].flatMap((each) => each.logs().filter(({ msg }) => msg === away)).length
  const burst = async () => {
    await eventually(async () => {
      // Where the first try took too long, a request makes a worker try again.
      const others = [one, two, one, two].map(({ url }) => ask(url, `Bearer ${tokenOf(newUser())}`))
      await Promise.all(others)
      return areConnected()
    })
    const awayBefore = timesAway()
    const token = `Bearer ${tokenOf(newUser())}`
    const startedAt = performance.now()
    const urls = Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? one.url : two.url))
    const answers = await Promise.all(urls.map((url) => ask(url, token)))
    const freed = Math.floor((performance.now() - startedAt) / 2_000)
    // Said by a worker that had no answer in time, as on a busy machine: it counts by itself for a while, as it is to.
    const wasAway = timesAway() > awayBefore
    return { passed: answers.filter(({ status }) => status === 200).length, freed, wasAway }
  }
  let counted = await burst()
  for (let tries = 1; counted.wasAway && tries < 5; tries++) counted = await burst()
  const { passed, freed } = counted
  assert.ok(passed >= 30 && passed <= 30 + freed, `${passed} passed, ${freed} became free`)
  for (const each of [one, two]) assert.equal((await each.end('SIGTERM')).code, 0)
})

test('a write through one worker reaches the streams of all, without a question to the database', async () => {
  const own = await createTestDatabase()
  const service = await startWorkers({ ...environment, DATABASE_URL: addressOf(own.connection) })
  // Who asks for changes made elsewhere sees none from here on: the other workers must have been told.
  await own.query('alter policy observed on app.change_counters using (false)')
  const userId = newUser()
  await create(service.url, userId, 'before')
  const streams = await Promise.all(
    Array.from({ length: 8 }, () => EventSource.open(service.url, tokenOf(userId))),
  )
  for (const stream of streams) await stream.received(1)
  const writers = () =>
    new Set(
      service
        .logs()
        .flatMap(({ method, worker, msg }) => (msg === 'request' && method === 'POST' ? [worker] : [])),
    )
  let written = 0
  while (writers().size < 2 || written < 6) await create(service.url, userId, `task ${++written}`)
  const titles = Array.from({ length: written }, (_, n) => `task ${n + 1}`)
  for (const stream of streams) {
    await eventually(async () => stream.changes.length >= written)
    const seen = stream.changes.map((change) => change.type === 'upsert' && change.task.title)
    assert.deepEqual(new Set(seen), new Set(titles))
  }
  for (const stream of streams) stream.close()
  const readers = () =>
    service.logs().flatMap(({ route, worker }) => (String(route).endsWith('/stream') ? [worker] : []))
  await eventually(async () => readers().length === streams.length)
  assert.deepEqual(new Set(readers()), new Set([1, 2]))
  assert.equal((await service.end('SIGTERM')).code, 0)
  await own.drop()
})

test('DATABASE_POOL_MAX and MAX_CONNECTIONS are those of all workers together', async () => {
  const own = await createTestDatabase()
  const service = await startWorkers({
    ...environment,
    DATABASE_URL: addressOf(own.connection),
    DATABASE_POOL_MAX: '3',
    MAX_CONNECTIONS: '10',
  })
  const token = `Bearer ${tokenOf(newUser())}`
  // As many as one worker may have: on a busy machine they may all come to one.
  await Promise.all(Array.from({ length: 5 }, () => ask(service.url, token)))
  const [found] = await own.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  )
  // One more is the primary's own, for the sweep.
  assert.ok(found !== undefined && found.n <= 4, `${found?.n} connections`)
  const { hostname, port } = new URL(service.url)
  let closed = 0
  const sockets = Array.from({ length: 30 }, () => {
    const socket = connect(Number(port), hostname)
    return socket.on('error', () => {}).on('close', () => closed++)
  })
  // On a busy machine one may have come by fewer than it may have.
  await eventually(async () => closed >= 20)
  assert.ok(closed <= 25, `${closed} closed`)
  for (const socket of sockets) socket.destroy()
  await eventually(async () => closed === 30)
  await eventually(async () => (await ask(service.url, token).catch(() => undefined))?.status === 200)
  assert.equal((await service.end('SIGTERM')).code, 0)
  await own.drop()
})

test('what cannot be used of the settings is told at once, by the one process there is', async () => {
  for (const WORKERS of ['0', '65', 'two', '-1', '1.5']) {
    const { code, stderr } = await runScript('src/main.ts', [], { PORT: '0', ...environment, WORKERS })
    assert.deepEqual([code, /WORKERS: must be a whole number from 1 to 64/.test(stderr)], [1, true], WORKERS)
  }
  const { code, stderr, stdout } = await runScript('src/main.ts', [], {
    ...environment,
    PORT: 'x',
    WORKERS: '12',
    DATABASE_POOL_MAX: '11',
    MAX_CONNECTIONS: '11',
  })
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /3 problems/)
  for (const name of ['DATABASE_POOL_MAX', 'MAX_CONNECTIONS']) {
    assert.match(stderr, new RegExp(`${name}: must be at least WORKERS`))
  }
})

test('a port that is taken is told once, and no process is left', async () => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  after(() => blocker.close())
  const address = blocker.address()
  assert.ok(typeof address === 'object' && address !== null)
  const { code, stderr } = await runScript('src/main.ts', [], {
    ...environment,
    WORKERS: '2',
    PORT: String(address.port),
  })
  assert.equal(code, 1)
  assert.equal(
    stderr,
    `Port ${address.port} of 127.0.0.1 is in use: stop what listens there, or set PORT to another.\n`,
  )
})

test('a worker that nobody has started says so', async () => {
  const { code, stderr } = await runScript('src/main.ts', ['--worker'], environment)
  assert.equal(code, 1)
  assert.match(stderr, /^Workers are started by the service: set WORKERS\.\n$/)
})
