import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import pg from 'pg'
import { signToken } from '../src/cli/sign-token.ts'
import { startFakeIssuer } from './auth/fake-issuer.ts'
import { makeSigner } from './auth/signers.ts'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { storeDeletions, storeKeys } from './support/due-rows.ts'
import {
  addressOf,
  type Environment,
  eventually,
  type RunningService,
  runScript,
  startService,
  temporaryFolder,
} from './support/process.ts'
import { scrape } from './support/prometheus.ts'
import { openProxy } from './support/proxy.ts'

// The service as a process, with METRICS_PORT and without.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())
const environment = { DATABASE_URL: addressOf(testDatabase.connection), BETTER_AUTH_SECRET: testSecret }

/** Where the metrics of a service are, as its log says. */
function metricsOf({ stdout }: RunningService): string {
  return String(/"metrics_address":"([^"]+)"/.exec(stdout())?.[1])
}

function startWithMetrics(more: Environment = {}): Promise<RunningService> {
  return startService({ ...environment, METRICS_PORT: '0', ...more })
}

async function modulesOf(more: Environment): Promise<string[]> {
  const list = join(temporaryFolder(), 'modules')
  const hook = new URL('accounts/loaded-modules.ts', import.meta.url)
  const service = await startService({
    ...environment,
    ...more,
    NODE_OPTIONS: `--import ${hook}`,
    LOADED_MODULES: list,
  })
  assert.equal((await fetch(`${service.url}/metrics`)).status, 404)
  assert.equal((await service.end('SIGTERM')).code, 0)
  return readFileSync(list, 'utf8').split('\n')
}

/** A service whose database is behind a proxy, which has refused it from the start. */
async function startBehindProxy() {
  const proxy = await openProxy(testDatabase.connection)
  proxy.refuse()
  const { user, password, database } = testDatabase.connection
  const connection = { user, database, host: '127.0.0.1', port: proxy.port, ...(password && { password }) }
  const service = await startWithMetrics({
    DATABASE_URL: addressOf(JSON.parse(JSON.stringify(connection))),
  })
  return { proxy, service }
}

test('without METRICS_PORT nothing of it is loaded; with it, the same list has it', async () => {
  const parts = ['exposition', 'metrics', 'metrics-server', 'process-metrics', 'request-metrics']
  const ofMetrics = (modules: string[]) =>
    parts.filter((part) => modules.some((url) => url.endsWith(`/src/ops/${part}.ts`)))
  assert.deepEqual(ofMetrics(await modulesOf({})), [])
  assert.deepEqual(ofMetrics(await modulesOf({ METRICS_PORT: '0' })), parts)
})

test('the port has /metrics and nothing else, for GET and HEAD', async () => {
  const service = await startWithMetrics()
  const address = metricsOf(service)
  const { families, sum, series } = await scrape(address)
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  assert.deepEqual(
    series('backend_core_build_info').map(({ labels, value }) => [labels, value]),
    [[{ version, node: process.version }, 1]],
  )
  for (const [name, { help }] of families) assert.match(help, /^[A-Z0-9].*\.$/, name)
  assert.ok(Math.abs(sum('process_start_time_seconds') - Date.now() / 1000) < 60)
  assert.ok(sum('process_resident_memory_bytes') > 30e6 && sum('nodejs_heap_size_used_bytes') > 5e6)
  assert.ok(sum('process_cpu_seconds_total') > 0)
  const head = await fetch(`${address}?x=1`, { method: 'HEAD' })
  assert.deepEqual([head.status, await head.text()], [200, ''])
  const posted = await fetch(address, { method: 'POST', body: 'x' })
  assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD'])
  for (const path of ['/', '/metrics/', '/health', '/api/me/tasks', '/%6detrics']) {
    assert.equal((await fetch(new URL(path, address))).status, 404, path)
  }
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('what the process says of itself moves with it: files, CPU, the event loop', async () => {
  const service = await startWithMetrics()
  const address = metricsOf(service)
  const before = await scrape(address)
  // While this process reads the answers, the service has connections open and works.
  const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(`${service.url}/ready`)))
  for (const answer of answers) assert.equal(answer.status, 200)
  const now = await eventually(async () => {
    const later = await scrape(address)
    const name = 'nodejs_eventloop_delay_seconds_count'
    return later.sum(name) > before.sum(name) && later
  })
  for (const name of [
    'process_cpu_seconds_total',
    'process_cpu_user_seconds_total',
    'nodejs_eventloop_time_seconds_total',
  ]) {
    assert.ok(now.sum(name) > before.sum(name), name)
  }
  const split = now.sum('process_cpu_user_seconds_total') + now.sum('process_cpu_system_seconds_total')
  assert.ok(Math.abs(split - now.sum('process_cpu_seconds_total')) < 0.001)
  const upS = Date.now() / 1000 - now.sum('process_start_time_seconds')
  assert.ok(now.sum('nodejs_eventloop_time_seconds_total') <= upS + 0.5)
  assert.ok(now.sum('nodejs_eventloop_delay_seconds_sum') <= upS)
  if (existsSync('/proc/self/fd')) {
    assert.ok(now.sum('process_open_fds') > before.sum('process_open_fds'))
    assert.ok(now.sum('process_max_fds') >= now.sum('process_open_fds'))
  }
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('/metrics answers while the database is away, and counts what was refused', async () => {
  const { proxy, service } = await startBehindProxy()
  const token = signToken({ secret: testSecret, userId: newUser() })
  const answer = await fetch(`${service.url}/api/me/tasks`, { headers: { authorization: `Bearer ${token}` } })
  assert.equal(answer.status, 503)
  const away = await eventually(async () => {
    const now = await scrape(metricsOf(service))
    return now.sum('backend_core_errors_total', { code: 'DATABASE_UNAVAILABLE' }) === 1 && now
  })
  assert.equal(away.sum('http_requests_total', { route: '/api/:user_id/tasks', status: '503' }), 1)
  proxy.forward()
  await eventually(async () => (await fetch(`${service.url}/ready`)).status === 200)
  assert.equal((await service.end('SIGTERM')).code, 0)
  await proxy.close()
})

test('/metrics answers while the service stops, and is closed last', async () => {
  const service = await startWithMetrics()
  const address = metricsOf(service)
  const userId = newUser()
  const post = () =>
    fetch(`${service.url}/api/me/tasks`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${signToken({ secret: testSecret, userId })}`,
        'content-type': 'application/json',
      },
      body: '{"title":"x"}',
    })
  assert.equal((await post()).status, 201)
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  await client.query('begin')
  await client.query('select from app.change_counters where user_id = $1 for update', [userId])
  const open = post()
  await eventually(async () => (await scrape(address)).sum('http_requests_under_way') === 1)
  const ended = service.end('SIGTERM')
  await eventually(() =>
    fetch(`${service.url}/health`).then(
      () => false,
      () => true,
    ),
  )
  assert.equal((await scrape(address)).sum('http_requests_under_way'), 1)
  await client.query('rollback')
  await client.end()
  assert.equal((await open).status, 201)
  const { code, stdout } = await ended
  assert.equal(code, 0)
  assert.match(stdout, /"msg":"stopped"/)
  await assert.rejects(fetch(address))
})

test('a METRICS_PORT that is taken, or that of the service, is told in one line, and nothing is left running', async () => {
  const blocker = createServer().listen(0, '127.0.0.1')
  after(() => blocker.close())
  await new Promise((resolve) => blocker.once('listening', resolve))
  const address = blocker.address()
  assert.ok(typeof address === 'object' && address !== null)
  const port = String(address.port)
  const taken = await runScript('src/main.ts', [], { ...environment, PORT: '0', METRICS_PORT: port })
  assert.equal(taken.code, 1)
  assert.match(taken.stderr, new RegExp(`^Port ${port} of 127.0.0.1 is in use: .*METRICS_PORT.*\n$`))
  const shared = await runScript('src/main.ts', [], { ...environment, PORT: port, METRICS_PORT: port })
  assert.equal(shared.code, 1)
  assert.match(shared.stderr, /METRICS_PORT: must be another port than PORT/)
  const nowhere = await runScript('src/main.ts', [], {
    ...environment,
    HOST: '192.0.2.1',
    PORT: '0',
    METRICS_PORT: '0',
  })
  assert.equal(nowhere.code, 1)
  assert.match(nowhere.stderr, /^Cannot listen on 192\.0\.2\.1 port 0 .*METRICS_PORT.*\n$/)
})

test('the keys of the issuer: loads that went well, those that failed, and how many are known', async () => {
  const issuer = await startFakeIssuer(makeSigner('EdDSA', 'one'), makeSigner('ES256', 'two'))
  const loads = 'backend_core_jwks_loads_total'
  const service = await startWithMetrics({ BETTER_AUTH_URL: new URL(issuer.url).origin })
  const address = metricsOf(service)
  const known = await eventually(async () => {
    const now = await scrape(address)
    return now.sum(loads) > 0 && now
  })
  assert.deepEqual([known.sum(loads, { result: 'fetched' }), known.sum(loads, { result: 'failed' })], [1, 0])
  assert.equal(known.sum('backend_core_jwks_keys'), 2)
  await issuer.goAway()
  // A token of a key that nobody knows has the keys fetched again.
  const stranger = makeSigner('EdDSA', 'three')
  const { origin } = new URL(issuer.url)
  const iat = Math.floor(Date.now() / 1000)
  const token = stranger.sign({ sub: 'user-1', iss: origin, aud: origin, iat, exp: iat + 900 })
  const refused = await fetch(`${service.url}/api/me/tasks`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.equal(refused.status, 401)
  const failed = await scrape(address)
  assert.deepEqual(
    [failed.sum(loads, { result: 'fetched' }), failed.sum(loads, { result: 'failed' })],
    [1, 1],
  )
  assert.equal(failed.sum('backend_core_jwks_keys'), 2)
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('what a sweep removes is counted by its kind', async () => {
  const own = await createTestDatabase()
  const userId = newUser()
  await storeDeletions(own, userId, 7, '91 days')
  await storeKeys(own, userId, 3, '1 hour')
  const service = await startWithMetrics({ DATABASE_URL: addressOf(own.connection) })
  const swept = await eventually(async () => {
    const now = await scrape(metricsOf(service))
    return now.sum('backend_core_sweeps_total') > 0 && now
  })
  const rows = (kind: string) => swept.sum('backend_core_swept_rows_total', { kind })
  assert.deepEqual([rows('trash'), rows('deletions'), rows('keys')], [0, 7, 3])
  assert.equal(swept.sum('backend_core_sweeps_total', { end: 'finished' }), 1)
  assert.equal(swept.sum('backend_core_sweep_failures_total'), 0)
  assert.equal((await service.end('SIGTERM')).code, 0)
  await own.drop()
})
