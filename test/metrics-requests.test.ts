import assert from 'node:assert/strict'
import { get } from 'node:http'
import { after, test } from 'node:test'
import pg from 'pg'
import { serveMetrics } from '../src/ops/metrics-server.ts'
import { makeTask, newUser, startApp } from './support/app.ts'
import { EventSource } from './support/event-source.ts'
import { eventually } from './support/process.ts'
import { type Labels, type Scrape, scrape } from './support/prometheus.ts'
import { requestBytes, sendRaw } from './support/raw-http.ts'

// What a real scrape says after requests that are known.

const server = await serveMetrics({ host: '127.0.0.1', port: 0 })
const service = await startApp({ metrics: server.metrics, poolMax: 2 })
after(() => server.close())

const tasks = '/api/:user_id/tasks'
const oneTask = '/api/:user_id/tasks/:task_id'

/** By how much the counters have grown since, by their series. */
function growth(before: Scrape, now: Scrape, name: string): Record<string, number> {
  const write = (labels: Labels) => Object.values(labels).join(' ')
  const old = new Map(before.series(name).map(({ labels, value }) => [write(labels), value]))
  const grown = now
    .series(name)
    .map(({ labels, value }) => [write(labels), value - (old.get(write(labels)) ?? 0)] as const)
  return Object.fromEntries(grown.filter(([, value]) => value !== 0))
}

/** What the requests count for, once so many have ended: an answer is there a moment before its request has ended. */
async function counted(work: () => Promise<unknown>, requests: number) {
  const before = await scrape(server.address)
  await work()
  const now = await eventually(async () => {
    const later = await scrape(server.address)
    return later.sum('http_requests_total') - before.sum('http_requests_total') >= requests && later
  })
  return {
    now,
    requests: growth(before, now, 'http_requests_total'),
    errors: growth(before, now, 'backend_core_errors_total'),
    unreadable: growth(before, now, 'http_requests_unreadable_total'),
    timed: growth(before, now, 'http_request_duration_seconds_count'),
    cut: growth(before, now, 'http_responses_cut_total'),
  }
}

test('requests are counted by method, route and status, each once', async () => {
  const user = service.as(newUser())
  const other = newUser()
  const task = await makeTask(user)
  await eventually(
    async () => (await scrape(server.address)).sum('http_requests_total', { status: '201' }) > 0,
  )
  const { requests, errors, unreadable, timed, cut } = await counted(async () => {
    for (let n = 0; n < 3; n++) await user.get(`/api/me/tasks/${task.id}`)
    await user.request('HEAD', `/api/${user.userId}/tasks/${task.id}?`)
    await user.get(`/api/me/tasks/${task.id}`, { 'if-none-match': '"1"' })
    await user.post('/api/me/tasks', { title: 'x' })
    await user.get(`/api/me/tasks/${other}`)
    await user.get('/api/me/tasks/0198f2c5-0000-7000-8000-000000000000')
    await user.get('/api/me/nothing')
    await user.get('/neither')
    await user.delete('/api/me/tasks')
    await service.anonymous().get('/api/me/tasks')
    await user.get(`/api/${other}/tasks`)
    await user.request('POST', '/api/me/tasks', {
      raw: JSON.stringify({ title: 'x'.repeat(1024 * 1024) }),
      headers: { 'content-type': 'application/json' },
    })
    await user.request('POST', '/api/me/tasks', { raw: 'x', headers: { 'content-type': 'text/plain' } })
    await user.request('POST', '/api/me/tasks', { raw: '{', headers: { 'content-type': 'application/json' } })
    await user.get('/api/me/tasks?cursor=x')
    await user.get('/health')
  }, 18)
  const expected = {
    [`GET ${oneTask} 200`]: 3,
    [`HEAD ${oneTask} 200`]: 1,
    [`GET ${oneTask} 304`]: 1,
    [`POST ${tasks} 201`]: 1,
    [`GET ${oneTask} 422`]: 1,
    [`GET ${oneTask} 404`]: 1,
    'GET unmatched 404': 2,
    'DELETE unmatched 405': 1,
    [`GET ${tasks} 401`]: 1,
    [`GET ${tasks} 403`]: 1,
    [`POST ${tasks} 413`]: 1,
    [`POST ${tasks} 415`]: 1,
    [`POST ${tasks} 400`]: 1,
    [`GET ${tasks} 400`]: 1,
    'GET /health 200': 1,
  }
  assert.deepEqual(requests, expected)
  assert.deepEqual(errors, {
    VALIDATION_FAILED: 1,
    TASK_NOT_FOUND: 1,
    ROUTE_NOT_FOUND: 2,
    METHOD_NOT_ALLOWED: 1,
    TOKEN_MISSING: 1,
    FORBIDDEN: 1,
    BODY_TOO_LARGE: 1,
    UNSUPPORTED_MEDIA_TYPE: 1,
    INVALID_JSON: 1,
    INVALID_CURSOR: 1,
  })
  assert.deepEqual(timed, {
    [`GET ${oneTask}`]: 6,
    [`HEAD ${oneTask}`]: 1,
    [`POST ${tasks}`]: 4,
    [`GET ${tasks}`]: 3,
    'GET unmatched': 2,
    'DELETE unmatched': 1,
    'GET /health': 1,
  })
  assert.deepEqual([unreadable, cut], [{}, {}])
})

test('what is no readable HTTP is counted apart, and a request whose body is none has no status', async () => {
  const user = service.as(newUser())
  const head = (...lines: string[]) => [...lines, 'Host: test', `Authorization: Bearer ${user.token}`]
  const { requests, unreadable } = await counted(async () => {
    await sendRaw(service.url, 'FOO /health HTTP/1.1\r\nHost: test\r\n\r\n')
    await sendRaw(service.url, requestBytes(head('GET /health HTTP/1.1', `X: ${'x'.repeat(20_000)}`)))
    const chunked = ['Content-Type: application/json', 'Transfer-Encoding: chunked']
    await sendRaw(service.url, requestBytes(head('POST /api/me/tasks HTTP/1.1', ...chunked), 'zz\r\n'))
  }, 1)
  assert.deepEqual(unreadable, { 400: 2, 431: 1 })
  assert.deepEqual(requests, { [`POST ${tasks} none`]: 1 })
})

test('requests that are refused for there is too much to do are counted by method, under one route', async () => {
  const own = await serveMetrics({ host: '127.0.0.1', port: 0 })
  after(() => own.close())
  const busy = await startApp({ metrics: own.metrics, poolMax: 1, maxWaiting: 0 })
  const user = busy.as(newUser())
  for (let n = 0; n < 3; n++) assert.equal((await user.get(`/api/me/tasks?q=${n}`)).status, 503)
  assert.equal((await user.post('/api/made-up', {})).status, 503)
  const now = await scrape(own.address)
  const counts = now.series('http_requests_total').map(({ labels, value }) => [labels, value])
  assert.deepEqual(counts, [
    [{ method: 'GET', route: 'refused', status: '503' }, 3],
    [{ method: 'POST', route: 'refused', status: '503' }, 1],
  ])
  assert.equal(now.sum('backend_core_errors_total', { code: 'OVERLOADED' }), 4)
  assert.equal(now.sum('http_requests_under_way'), 0)
})

test('nothing that a client chooses becomes a label: unmatched paths are one value, odd methods another', async () => {
  const user = service.as(newUser())
  const { requests, now } = await counted(async () => {
    for (let n = 0; n < 20; n++) await user.get(`/made-up/${user.userId}/${n}?q=${user.userId}`)
    for (const method of ['PROPFIND', 'LOCK', 'REPORT']) await user.request(method, '/made-up')
    await user.get(`/api/me/tasks?q=${user.userId}`)
  }, 24)
  assert.equal(requests['GET unmatched 404'], 20)
  assert.equal(requests['other unmatched 404'], 3)
  assert.ok(
    !now.text.includes(user.userId) && !now.text.includes(user.token) && !now.text.includes('made-up'),
  )
  const routes = new Set(service.app.registeredRoutes.map(({ url }) => url).concat('unmatched'))
  for (const { labels } of now.series('http_requests_total')) assert.ok(routes.has(labels.route ?? ''))
})

test('a request is under way until it has ended, the pool tells who waits, and the time is in the sums', async () => {
  const [one, two, three] = [newUser(), newUser(), newUser()].map((userId) => service.as(userId))
  assert.ok(one && two && three)
  const client = new pg.Client(service.testDatabase.connection)
  await client.connect()
  for (const user of [one, two, three]) await makeTask(user)
  const idle = await eventually(async () => {
    const now = await scrape(server.address)
    return now.sum('http_requests_under_way') === 0 && now
  })
  assert.equal(idle.sum('backend_core_database_connections', { state: 'in_use' }), 0)
  assert.equal(idle.sum('backend_core_database_connections_max'), 2)
  await client.query('begin')
  await client.query('select from app.change_counters for update')
  const startedAt = performance.now()
  const answers = [one, two, three].map((user) => user.post('/api/me/tasks', { title: 'held' }))
  const held = await eventually(async () => {
    const now = await scrape(server.address)
    return now.sum('backend_core_database_waiting') === 1 && now
  })
  assert.equal(held.sum('backend_core_database_connections', { state: 'in_use' }), 2)
  assert.equal(held.sum('backend_core_database_connections', { state: 'idle' }), 0)
  assert.equal(held.sum('http_requests_under_way'), 3)
  const lookedAt = performance.now()
  await eventually(async () => performance.now() - lookedAt > 100)
  await client.query('rollback')
  await client.end()
  for (const answer of answers) assert.equal((await answer).status, 201)
  const tookS = (performance.now() - startedAt) / 1000
  const after = await eventually(async () => {
    const now = await scrape(server.address)
    return now.sum('http_requests_under_way') === 0 && now
  })
  const name = 'http_request_duration_seconds_sum'
  const created = { method: 'POST', route: tasks }
  const grown = after.sum(name, created) - held.sum(name, created)
  assert.ok(grown >= 0.29 && grown < 3 * tookS, `${grown} s of ${tookS}`)
  assert.equal(after.sum('backend_core_database_waiting'), 0)
  const trips = 'backend_core_database_round_trips_total'
  assert.ok(after.sum(trips) > held.sum(trips))
})

test('streams are counted while they are open, and neither as requests under way nor in the latency', async () => {
  const user = service.as(newUser())
  const route = '/api/:user_id/changes/stream'
  const { requests, timed } = await counted(async () => {
    const streams = [
      await EventSource.open(service.url, user.token),
      await EventSource.open(service.url, user.token),
    ]
    const open = await eventually(async () => {
      const now = await scrape(server.address)
      return now.sum('backend_core_streams_open') === 2 && now
    })
    assert.equal(open.sum('http_requests_under_way'), 0)
    for (const stream of streams) stream.close()
    await eventually(async () => (await scrape(server.address)).sum('backend_core_streams_open') === 0)
  }, 2)
  assert.deepEqual(requests, { [`GET ${route} 200`]: 2 })
  assert.deepEqual(timed, {})
})

test('an answer that its client does not take to the end is counted as cut, under the status that was sent', async () => {
  const user = service.as(newUser())
  // More than the buffers between the two can hold.
  const line = JSON.stringify({ title: 'large', description: 'é'.repeat(10_000) })
  const imported = await user.request('POST', '/api/me/import', {
    raw: `${line}\n`.repeat(500),
    headers: { 'content-type': 'application/x-ndjson' },
  })
  assert.equal(imported.status, 200, imported.text)
  await eventually(async () => (await scrape(server.address)).sum('http_requests_under_way') === 0)
  const { requests, cut } = await counted(async () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const headers = { authorization: `Bearer ${user.token}` }
    get(`${service.url}/api/me/tasks?limit=500`, { agent: false, headers }, (response) => {
      response.destroy()
      resolve()
    }).on('error', reject)
    await promise
  }, 1)
  assert.deepEqual(requests, { [`GET ${tasks} 200`]: 1 })
  assert.deepEqual(cut, { [`GET ${tasks}`]: 1 })
})
