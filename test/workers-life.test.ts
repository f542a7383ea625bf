import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { signToken } from '../src/cli/sign-token.ts'
import { StubbornClient } from './crash/stubborn-client.ts'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { EventSource } from './support/event-source.ts'
import { askUntilClosed } from './support/kept-connections.ts'
import { addressOf, eventually, runScript, temporaryFolder } from './support/process.ts'
import { isAlive, type RunningWorkers, readLog, startWorkers } from './support/workers.ts'

// The service as several processes, on a database of its own: their beginnings and ends.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())
const environment = {
  DATABASE_URL: addressOf(testDatabase.connection),
  BETTER_AUTH_SECRET: testSecret,
  RATE_LIMIT_PER_MINUTE: '0',
}

const tokenOf = (userId: string) => signToken({ secret: testSecret, userId })

function post(url: string, userId: string): Promise<Response> {
  return fetch(`${url}/api/me/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokenOf(userId)}`, 'content-type': 'application/json' },
    body: '{"title":"x"}',
  })
}

/** A create that waits, until it is let go on. */
async function openCreate(url: string) {
  const userId = newUser()
  assert.equal((await post(url, userId)).status, 201)
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  await client.query('begin')
  await client.query('select from app.change_counters where user_id = $1 for update', [userId])
  const open = post(url, userId)
  await eventually(async () => {
    const { rows } = await client.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    )
    return rows[0]?.n === 1
  })
  return {
    open,
    async release() {
      await client.query('rollback')
      await client.end()
    },
  }
}

async function allGone({ pids, child }: RunningWorkers): Promise<void> {
  await eventually(async () => ![...pids().values(), Number(child.pid)].some(isAlive))
}

const linesOf = ({ logs }: RunningWorkers, message: string) => logs().filter(({ msg }) => msg === message)

test('SIGTERM under load: no request fails, each worker stops, exit 0, and nothing is left', async () => {
  const service = await startWorkers({ ...environment, SHUTDOWN_DELAY_MS: '500' })
  const token = tokenOf(newUser())
  const stream = await EventSource.open(service.url, token)
  await stream.received(1)
  const clients = askUntilClosed(service.url, token, 200)
  await clients.answered
  const ended = service.end('SIGTERM')
  await eventually(async () => (await fetch(`${service.url}/ready`)).status === 503)
  // Connections are given to the workers in turn: these are of both.
  for (let n = 0; n < 4; n++) {
    const ready = await fetch(`${service.url}/ready`, { headers: { connection: 'close' } })
    assert.equal(ready.status, 503)
  }
  await clients.stopped
  assert.equal((await ended).code, 0)
  await stream.ended()
  assert.deepEqual(stream.names, ['ready', 'reconnect'])
  assert.deepEqual(
    new Set(linesOf(service, 'stopped').map(({ worker }) => worker)),
    new Set([1, 2, undefined]),
  )
  assert.equal(service.logs().at(-1)?.worker, undefined, 'the primary process ends last')
  await allGone(service)
})

test('a request that is open is waited for, until SHUTDOWN_TIMEOUT_MS', async () => {
  const waiting = await startWorkers(environment)
  const first = await openCreate(waiting.url)
  const ended = waiting.end('SIGTERM')
  await eventually(async () => linesOf(waiting, 'stopped').length === 1)
  await first.release()
  assert.equal((await first.open).status, 201)
  assert.equal((await ended).code, 0)

  const cutting = await startWorkers({ ...environment, SHUTDOWN_TIMEOUT_MS: '100' })
  const second = await openCreate(cutting.url)
  const cut = assert.rejects(second.open)
  assert.equal((await cutting.end('SIGTERM')).code, 0)
  await cut
  await second.release()
  await allGone(cutting)
})

test('Ctrl-C reaches every process of the group: they stop together, cleanly', async () => {
  const service = await startWorkers(environment)
  const { open, release } = await openCreate(service.url)
  for (const pid of service.pids().values()) process.kill(pid, 'SIGINT')
  // A signal to workers alone is none.
  assert.equal((await fetch(`${service.url}/ready`)).status, 200)
  const ended = service.end('SIGINT')
  await eventually(async () => linesOf(service, 'stopping').length === 3)
  await release()
  assert.equal((await open).status, 201)
  assert.equal((await ended).code, 0)
  assert.equal(linesOf(service, 'worker ended; it is replaced').length, 0)
  await allGone(service)
})

test('workers killed again and again under load are replaced, and nothing is lost or done twice', async (t) => {
  const service = await startWorkers(environment)
  const userId = newUser()
  const clients = Array.from(
    { length: 12 },
    (_, at) => new StubbornClient(`c${at}`, tokenOf(userId), async () => service.url),
  )
  let isOver = false
  t.after(() => {
    isOver = true
  })
  const working = clients.map(async (client) => {
    while (!isOver) await client.act()
  })
  const kills = 6
  for (let kill = 1; kill <= kills; kill++) {
    const worker = 1 + (kill % 2)
    const pid = Number(service.pids().get(worker))
    await delay(Math.random() * 300)
    process.kill(pid, 'SIGKILL')
    await eventually(async () => service.pids().get(worker) !== pid)
    // Until it serves again: the next kill is of another one.
    await eventually(async () => {
      const lines = service.logs().filter((line) => line.worker === worker)
      const at = lines.findLastIndex(({ msg }) => msg === 'worker started')
      return lines.slice(at).some(({ msg }) => String(msg).startsWith('listening at'))
    }, 60_000)
  }
  isOver = true
  await Promise.all(working)
  assert.deepEqual(
    clients.flatMap(({ wrongs }) => wrongs),
    [],
  )
  const stored = await testDatabase.query<{ title: string }>(
    'select title from app.tasks where user_id = $1',
    [userId],
  )
  const titles = stored.map(({ title }) => title)
  assert.equal(new Set(titles).size, titles.length, 'once')
  const intents = clients.flatMap((client) => client.intents)
  const answered = intents.filter(({ task }) => task !== undefined).map(({ title }) => title)
  assert.deepEqual(new Set(answered).difference(new Set(titles)), new Set(), 'what was acknowledged is there')
  assert.deepEqual(new Set(titles).difference(new Set(intents.map(({ title }) => title))), new Set())
  const ends = linesOf(service, 'worker ended; it is replaced')
  assert.deepEqual(
    ends.map(({ signal }) => signal),
    Array.from({ length: kills }, () => 'SIGKILL'),
  )
  t.diagnostic(`${kills} kills, ${answered.length} of ${intents.length} creates answered`)
  assert.equal((await service.end('SIGTERM')).code, 0)
  await allGone(service)
})

test('when the primary process is killed, the workers finish what is open and end', async () => {
  const service = await startWorkers(environment)
  const { open, release } = await openCreate(service.url)
  await service.killPrimary()
  await eventually(async () => linesOf(service, 'the primary process is gone').length === 2)
  await assert.rejects(fetch(`${service.url}/health`))
  await release()
  assert.equal((await open).status, 201)
  await eventually(async () => linesOf(service, 'stopped').length === 2)
  await allGone(service)
})

test('a second signal ends all processes at once', async () => {
  const service = await startWorkers(environment)
  const { open, release } = await openCreate(service.url)
  const cut = assert.rejects(open)
  service.child.kill('SIGTERM')
  await delay(1_100)
  const { code } = await service.end('SIGTERM')
  assert.equal(code, 1)
  await cut
  await release()
  await allGone(service)
})

test('workers that end as they begin: the service tries a few times, then ends with the reason', async () => {
  const hook = new URL('support/dying-worker.ts', import.meta.url)
  const { code, stdout, stderr } = await runScript('src/main.ts', [], {
    ...environment,
    WORKERS: '2',
    PORT: '0',
    NODE_OPTIONS: `--import ${hook}`,
  })
  assert.equal(code, 1)
  assert.match(stderr, /^Worker [12] ended 5 times before it listened \(code 3\): see the log\.\n$/)
  const ends = readLog(stdout).filter(({ msg }) => msg === 'worker ended; it is replaced')
  const waits = ends.filter(({ worker }) => worker === ends.at(-1)?.worker).map(({ delay_ms }) => delay_ms)
  assert.deepEqual(waits, [0, 200, 400, 800])
})

test('the embedded database and the secret are there once, for all workers, and the database is stopped last', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const service = await startWorkers({ DATA_DIR: dataDir, WORKERS: '2' })
  for (let n = 0; n < 4; n++) {
    const ready = await fetch(`${service.url}/ready`, { headers: { connection: 'close' } })
    assert.equal(ready.status, 200)
  }
  const { code } = await service.end('SIGTERM')
  assert.equal(code, 0)
  const lines = service.logs()
  const at = lines.findIndex(({ msg, type }) => msg === 'embedded database' && type === 'stopped')
  assert.ok(at > lines.findLastIndex(({ worker }) => worker !== undefined))
  await allGone(service)
})

test('a database that lost its wall is refused once, before any worker begins', async () => {
  const broken = await createTestDatabase()
  await broken.query('alter table app.tasks no force row level security')
  const { code, stderr, stdout } = await runScript('src/main.ts', [], {
    ...environment,
    WORKERS: '2',
    PORT: '0',
    DATABASE_URL: addressOf(broken.connection),
  })
  assert.equal(code, 1)
  assert.equal(stderr.match(/refusing to serve/g)?.length, 1)
  assert.doesNotMatch(stdout, /worker started/)
  await broken.drop()
})
