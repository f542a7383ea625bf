import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { signToken } from '../src/cli/sign-token.ts'
import { benchSecret, cpuUsOf, onStage, type Service } from './processes.ts'

// What live streams cost and how soon they tell: node bench/streams.ts [STREAMS]
// Memory of idle streams, CPU of asking for their counters, latency across two instances, cost of a poll with nothing
// new. The services are processes of their own; this one is the clients.

const streams = Number(process.argv[2] ?? 10_000)

/** CPU time of a process so far, in seconds. */
const cpuOf = (pid: number) => cpuUsOf(pid) / 1e6

function postgresCpu(): number {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .reduce((sum, pid) => {
      try {
        return (
          sum + (readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('postgres') ? cpuOf(Number(pid)) : 0)
        )
      } catch {
        return sum
      }
    }, 0)
}

const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const tokenOf = (userId: string) => signToken({ secret: benchSecret, userId })

/** Opens a stream; `onText` gets what arrives after its ready event. */
async function openStream(
  { url }: Service,
  userId: string,
  onText?: (text: string) => void,
): Promise<Socket> {
  const { hostname: host, port } = new URL(url)
  const socket = connect({ host, port: Number(port) })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.on('error', reject)
  socket.on('data', (chunk) => {
    const text = chunk.toString()
    if (text.includes('event: ready')) resolve()
    else onText?.(text)
  })
  socket.write(
    `GET /api/me/changes/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${tokenOf(userId)}\r\n\r\n`,
  )
  await promise
  return socket
}

async function openMany(service: Service, users: readonly string[]): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (let at = 0; at < users.length; at += 50)
    sockets.push(...(await Promise.all(users.slice(at, at + 50).map((user) => openStream(service, user)))))
  return sockets
}

async function closeAll(sockets: readonly Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy()
  await delay(2_000)
}

function request({ url }: Service, userId: string, path: string, body?: object): Promise<Response> {
  return fetch(new URL(path, url), {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${tokenOf(userId)}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
}

function percentiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]?.toFixed(0)
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms of ${sorted.length}`
}

async function measureIdle(service: Service, name: string, users: readonly string[]): Promise<void> {
  const before = await service.memory()
  const start = performance.now()
  const half = users.length / 2
  const sockets = await openMany(service, users.slice(0, half))
  const halfWay = await service.memory()
  sockets.push(...(await openMany(service, users.slice(half))))
  const openS = (performance.now() - start) / 1_000
  await delay(3_000)
  const after = await service.memory()
  const each = (key: 'rss' | 'heapUsed') => ((after[key] - before[key]) / users.length / 1_000).toFixed(1)
  const lastEach = ((after.rss - halfWay.rss) / half / 1_000).toFixed(1)
  say(
    `${users.length} idle streams, ${name}, opened in ${openS.toFixed(1)} s: each ${each('rss')} kB resident ` +
      `(of the second half: ${lastEach} kB), ${each('heapUsed')} kB of heap in use; ` +
      `${(after.rss / 1e6).toFixed(0)} MB resident in all, ${(before.rss / 1e6).toFixed(0)} MB before`,
  )
  const pid = service.pid
  const [node, postgres] = [cpuOf(pid), postgresCpu()]
  const forS = 20
  await delay(forS * 1_000)
  const share = (now: number, then: number) => `${(((now - then) / forS) * 100).toFixed(1)} %`
  say(`  idle: ${share(cpuOf(pid), node)} of a core here, ${share(postgresCpu(), postgres)} in PostgreSQL`)
  await closeAll(sockets)
}

async function measureLatency(from: Service, to: Service, name: string, count: number): Promise<void> {
  const userId = `latency-${name}`
  let arrived = () => {}
  const socket = await openStream(to, userId, (text) => {
    if (text.includes('event: change')) arrived()
  })
  const delays: number[] = []
  for (let made = 0; made < count; made++) {
    await delay(Math.random() * 500)
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const start = performance.now()
    const [response] = await Promise.all([request(from, userId, '/api/me/tasks', { title: 'x' }), arrival])
    delays.push(performance.now() - start)
    await response.text()
  }
  socket.destroy()
  say(`from the request to the event, ${name}: ${percentiles(delays)}`)
}

async function measurePolls(service: Service): Promise<void> {
  const userId = 'polling'
  await (await request(service, userId, '/api/me/tasks', { title: 'x' })).text()
  const { meta } = JSON.parse(await (await request(service, userId, '/api/me/changes')).text())
  const path = `/api/me/changes?since=${meta.next_cursor}`
  const total = 5_000
  const cpu = cpuOf(service.pid)
  const start = performance.now()
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let asked = 0; asked < total / 16; asked++) await (await request(service, userId, path)).text()
    }),
  )
  const wallS = (performance.now() - start) / 1_000
  const eachUs = ((cpuOf(service.pid) - cpu) / total) * 1e6
  say(
    `polls with nothing new: ${(total / wallS).toFixed(0)} a second (this client included), ${eachUs.toFixed(0)} µs of CPU each in the service`,
  )
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

await onStage(async (stage) => {
  const databaseUrl = await stage.startPostgres()
  // Its users ask more often than people do.
  const start = () => stage.startService(databaseUrl, { RATE_LIMIT_PER_MINUTE: '0' }, { isProbed: true })
  const [first, second] = [await start(), await start()]
  // Everything is loaded and compiled once before it is measured.
  await closeAll(
    await openMany(
      first,
      Array.from({ length: 1_000 }, (_, index) => `warm-${index}`),
    ),
  )
  await measureIdle(
    first,
    'each of another user',
    Array.from({ length: streams }, (_, index) => `idle-${index}`),
  )
  await measureIdle(
    first,
    'a hundred of each user',
    Array.from({ length: streams }, (_, index) => `shared-${Math.floor(index / 100)}`),
  )
  await measureLatency(first, second, 'across instances', 200)
  await measureLatency(first, first, 'on one instance', 200)
  await measurePolls(first)
})
