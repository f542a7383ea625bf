import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { signToken } from '../src/cli/sign-token.ts'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { EventSource } from './support/event-source.ts'
import { addressOf, eventually } from './support/process.ts'
import { scrape } from './support/prometheus.ts'
import { startWorkers } from './support/workers.ts'

// /metrics of the service as several processes.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

test('/metrics is of the whole instance: what was counted is added up, and does not go down when a worker dies', async () => {
  const service = await startWorkers({
    DATABASE_URL: addressOf(testDatabase.connection),
    BETTER_AUTH_SECRET: testSecret,
    METRICS_PORT: '0',
    DATABASE_POOL_MAX: '5',
  })
  const [address = ''] = service
    .logs()
    .flatMap(({ metrics_address }) => (metrics_address ? [String(metrics_address)] : []))
  const token = signToken({ secret: testSecret, userId: newUser() })
  const list = () =>
    fetch(`${service.url}/api/me/tasks`, {
      headers: { authorization: `Bearer ${token}`, connection: 'close' },
    })
  const streams = await Promise.all(Array.from({ length: 4 }, () => EventSource.open(service.url, token)))
  for (const stream of streams) await stream.received(1)
  for (let n = 0; n < 20; n++) assert.equal((await list()).status, 200)
  const route = { route: '/api/:user_id/tasks', method: 'GET', status: '200' }
  const now = await eventually(async () => {
    const scraped = await scrape(address)
    return scraped.sum('http_requests_total', route) === 20 && scraped
  })
  const served = new Set(service.logs().flatMap(({ msg, worker }) => (msg === 'request' ? [worker] : [])))
  assert.equal(served.size, 2, 'both have counted some')
  assert.equal(now.sum('http_request_duration_seconds_count', { route: route.route }), 20)
  assert.equal(now.sum('backend_core_streams_open'), 4)
  assert.equal(now.sum('backend_core_database_connections_max'), 5)
  const workersOf = (name: string) => now.series(name).map(({ labels }) => labels.worker)
  for (const name of [
    'process_resident_memory_bytes',
    'nodejs_eventloop_delay_seconds_count',
    'backend_core_build_info',
  ]) {
    assert.deepEqual(workersOf(name), ['primary', '1', '2'], name)
  }
  for (const name of ['process_cpu_seconds_total', 'http_requests_under_way']) {
    assert.deepEqual(workersOf(name), [undefined], name)
  }

  const killed = Number(service.pids().get(1))
  process.kill(killed, 'SIGKILL')
  await eventually(async () => service.pids().get(1) !== killed)
  const later = await scrape(address)
  assert.equal(later.sum('http_requests_total', route), 20)
  assert.ok(later.sum('process_cpu_seconds_total') >= now.sum('process_cpu_seconds_total'))
  for (const stream of streams) stream.close()
  assert.equal((await service.end('SIGTERM')).code, 0)
})
