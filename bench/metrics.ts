import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { signToken } from '../src/cli/sign-token.ts'
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts'

// What counting costs: node bench/metrics.ts [ROUNDS]
// GET of one task over 32 connections, by turns from a service without METRICS_PORT and from one with it that is scraped
// once a round. Throughput moves with whatever else the machine does; CPU time of the service a request does so less.

const rounds = Number(process.argv[2] ?? 12)
const connections = 32
const roundMs = 2_000
const secret = 'k3Vw9-bench-secret-of-metrics-Qz7Lp0'
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const authorization = `Bearer ${signToken({ secret, userId: 'bench' })}`

type Service = {
  readonly pid: number
  readonly url: string
  readonly metrics: string | undefined
  stop(): void
}

async function startService(databaseUrl: string, metrics: boolean): Promise<Service> {
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env.PATH ?? '',
      PORT: '0',
      DATABASE_URL: databaseUrl,
      BETTER_AUTH_SECRET: secret,
      NODE_ENV: 'production',
      // One user asks more often than people do.
      RATE_LIMIT_PER_MINUTE: '0',
      ...(metrics && { METRICS_PORT: '0' }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.stdout.on('data', (chunk: Buffer) => {
    if (text.length < 10_000) text += chunk
    const address = /"address":"([^"]+)"/.exec(text)?.[1]
    if (address !== undefined) resolve(address)
  })
  child.on('close', () => reject(new Error(`The service ended: ${text}`)))
  const url = await promise
  const address = /"metrics_address":"([^"]+)"/.exec(text)?.[1]
  return { pid: Number(child.pid), url, metrics: address, stop: () => child.kill('SIGTERM') }
}

/** CPU time of a process so far, in microseconds. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

const agent = new Agent({ keepAlive: true, maxSockets: connections })

function get(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { authorization } }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`It answered ${response.statusCode}`))
      response.resume().on('end', resolve)
    })
      .on('error', reject)
      .end()
  })
}

/** @returns requests a second, and CPU microseconds of the service a request */
async function run({ pid, url, metrics }: Service, task: string): Promise<[number, number]> {
  const path = `${url}/api/me/tasks/${task}`
  const startedAt = performance.now()
  const cpu = cpuOf(pid)
  let count = 0
  const work = async () => {
    while (performance.now() - startedAt < roundMs) {
      await get(path)
      count++
    }
  }
  const scraping = metrics === undefined ? undefined : fetch(metrics).then((response) => response.text())
  await Promise.all([...Array.from({ length: connections }, work), scraping])
  return [(count * 1000) / (performance.now() - startedAt), (cpuOf(pid) - cpu) / count]
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

const dataDir = mkdtempSync(join(tmpdir(), 'backend-core-bench-'))
chmodSync(dataDir, 0o711)
const server = await startEmbeddedPostgres({ dataDir })
const { user, host, port, database } = server.connection
const address = `postgres://${user}@${encodeURIComponent(host)}:${port}/${database}`
const services = { off: await startService(address, false), on: await startService(address, true) }
try {
  const created = await fetch(`${services.off.url}/api/me/tasks`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: '{"title":"Buy milk"}',
  })
  const { data } = (await created.json()) as { data: { id: string } }
  for (const service of Object.values(services)) await run(service, data.id)
  const results = { off: [] as [number, number][], on: [] as [number, number][] }
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)
    for (const name of order) results[name].push(await run(services[name], data.id))
  }
  for (const name of ['off', 'on'] as const) {
    const rates = median(results[name].map(([rate]) => rate))
    const cpu = median(results[name].map(([, each]) => each))
    process.stdout.write(
      `${name.padEnd(4)}${rates.toFixed(0)} requests/s, ${cpu.toFixed(1)} µs CPU a request\n`,
    )
  }
  const paired = results.off.map(([, off], round) => (results.on[round]?.[1] ?? 0) / off)
  process.stdout.write(`CPU on/off, median of the rounds: ${median(paired).toFixed(3)}\n`)
} finally {
  for (const service of Object.values(services)) service.stop()
  agent.destroy()
  await server.stop()
  rmSync(dataDir, { recursive: true, force: true })
}
