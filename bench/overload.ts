import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { ClientConfig } from 'pg'
import { createApp } from '../src/app.ts'
import { createVerifier } from '../src/auth/verifier.ts'
import { signToken } from '../src/cli/sign-token.ts'
import { openDatabase } from '../src/db/database.ts'
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts'
import { createLogger } from '../src/ops/logging.ts'
import { OverloadClient } from './overload-client.ts'
import { cpuUsOf } from './processes.ts'

// What is served when more is asked than can be: node bench/overload.ts [--seconds 10] [--rounds 1] [--shares 1,2,3]
// [--round-trip-ms 30] [--connections 500]. Before each share the capacity is measured, with 64 clients that wait for each
// answer. Then requests are sent at that share of it, when their time has come and not when the last one is answered, with
// refusal on and off: over connections that are there already, as proxies keep them, and more where these do not do.
// Goodput: answered 2xx within a second of the time at which the request was due. The service is a process of its own.
// Where there is taskset (util-linux), it and PostgreSQL share one processor, and the client has another: real clients
// take nothing of what the service has. Where the client itself was late, the figures say nothing; that is told.

const secret = 'k3Vw9-bench-secret-of-overload-Qz7Lp0'
const users = 200
/** Later than this an answer is of no use, in milliseconds. */
const goodMs = 1_000
/** Until the code of the service is compiled: on one processor that takes its time. */
const warmUpS = 12
/** Where more than 1 % of the requests were sent so late, in milliseconds, the figures say nothing of the service. */
const clientLateMs = 50

type Mode = 'refusing' | 'taking all'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '1' },
    shares: { type: 'string', default: '0.5,1,1.5,2,3' },
    'round-trip-ms': { type: 'string', default: '0' },
    connections: { type: 'string', default: '500' },
    modes: { type: 'string', default: 'refusing,taking all' },
  },
})
const seconds = Number(options.seconds)
const shares = options.shares.split(',').map(Number)
const roundTripMs = Number(options['round-trip-ms'])
const modes = (['refusing', 'taking all'] as const).filter((mode) => options.modes.split(',').includes(mode))

/** A database that is so much further away; what it answers comes later. @returns the port of the way there */
async function lengthen(connection: ClientConfig): Promise<number> {
  const server = createServer((client) => {
    const { host = '', port = 5432 } = connection
    const database = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    client.pipe(database)
    database.on('data', (chunk) => setTimeout(() => client.write(chunk), roundTripMs))
    for (const socket of [client, database]) socket.on('error', () => {})
    database.on('close', () => client.destroy())
    client.on('close', () => database.destroy())
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function serve({ connection, mode }: { connection: ClientConfig; mode: Mode }): Promise<void> {
  const takesAll = mode === 'taking all'
  const database = openDatabase({
    connection:
      roundTripMs > 0 ? { ...connection, host: '127.0.0.1', port: await lengthen(connection) } : connection,
    poolMax: 10,
    ...(takesAll && { maxWaiting: Number.POSITIVE_INFINITY, maxWaitMs: Number.POSITIVE_INFINITY }),
  })
  await database.prepare()
  const app = await createApp({
    database,
    verifier: createVerifier({ secrets: [secret], clockToleranceS: 5 }),
    logger: createLogger('info'),
    ...(takesAll && { loopDelay: 'off' }),
  })
  process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))
}

type Tally = {
  sent: number
  /** How much later than due requests were sent, in milliseconds: the client's own delay. */
  sentLateMs: number[]
  /** Of a processor. */
  clientShare: number
  serviceShare: number
  good: number
  late: number
  refused: number
  failed: number
  latenciesMs: number[]
}

/** Two reads of a page of 20 to one create. */
function requestFor(n: number, tokens: readonly string[]): Buffer {
  const head = (line: string, ...more: string[]) =>
    [`${line} HTTP/1.1`, 'Host: bench', `Authorization: Bearer ${tokens[n % tokens.length]}`, ...more].join(
      '\r\n',
    )
  if (n % 3 > 0) return Buffer.from(`${head('GET /api/me/tasks?limit=20')}\r\n\r\n`)
  const body = JSON.stringify({ title: `Task ${n}`, description: 'Some words about what is to be done.' })
  return Buffer.from(
    `${head('POST /api/me/tasks', 'Content-Type: application/json', `Content-Length: ${body.length}`)}\r\n\r\n${body}`,
  )
}

/** Requests a second that 64 clients get answered, each sending one after the other. */
async function capacityOf(port: number, tokens: readonly string[], forS: number): Promise<number> {
  const client = new OverloadClient(port)
  const start = performance.now()
  let [done, n] = [0, 0]
  const one = async () => {
    while (performance.now() - start < forS * 1_000) {
      const status = await client.request(requestFor(n++, tokens))
      if (status >= 200 && status < 300) done++
    }
  }
  await Promise.all(Array.from({ length: 64 }, one))
  client.close()
  return done / ((performance.now() - start) / 1_000)
}

async function loadAt({ port, pid }: Service, tokens: readonly string[], rate: number): Promise<Tally> {
  const client = new OverloadClient(port)
  const tally: Tally = {
    sent: 0,
    good: 0,
    late: 0,
    refused: 0,
    failed: 0,
    latenciesMs: [],
    sentLateMs: [],
    clientShare: 0,
    serviceShare: 0,
  }
  await client.open(Number(options.connections))
  const [clientUs, serviceUs] = [cpuUsOf(process.pid), cpuUsOf(pid)]
  const start = performance.now()
  const open: Promise<void>[] = []
  const send = async (dueMs: number) => {
    tally.sentLateMs.push(performance.now() - dueMs)
    const status = await client.request(requestFor(tally.sent++, tokens))
    const tookMs = performance.now() - dueMs
    if (status === 503) tally.refused++
    else if (status < 200 || status > 299) tally.failed++
    else if (tookMs > goodMs) tally.late++
    else tally.good++
    if (status >= 200 && status < 300) tally.latenciesMs.push(tookMs)
  }
  while (performance.now() - start < seconds * 1_000) {
    const due = Math.floor(((performance.now() - start) / 1_000) * rate)
    while (open.length < due) open.push(send(start + (open.length / rate) * 1_000))
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const tookUs = (performance.now() - start) * 1_000
  tally.clientShare = (cpuUsOf(process.pid) - clientUs) / tookUs
  tally.serviceShare = (cpuUsOf(pid) - serviceUs) / tookUs
  await Promise.all(open)
  client.close()
  return tally
}

type Service = { readonly port: number; readonly pid: number; stop(): Promise<void> }

async function startService(connection: ClientConfig, mode: Mode): Promise<Service> {
  const [command, ...before] = isPinned ? ['taskset', '-c', '0', process.execPath] : [process.execPath]
  const service = spawn(
    command ?? '',
    [
      ...before,
      fileURLToPath(import.meta.url),
      'service',
      JSON.stringify({ connection, mode }),
      '--round-trip-ms',
      String(roundTripMs),
    ],
    { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] },
  )
  service.stdout?.on('data', (chunk: Buffer) => {
    if (!process.env.VERBOSE) return
    for (const line of chunk.toString().split('\n'))
      if (line.includes('overloaded:')) process.stderr.write(`${line}\n`)
  })
  const [address] = await once(service, 'message')
  const stop = async () => {
    service.kill('SIGKILL')
    await once(service, 'close')
  }
  return { port: Number(new URL(address).port), pid: Number(service.pid), stop }
}

/** Keeps this process, and what it starts from now on, on one processor. @returns whether that can be done */
function pin(processor: number): boolean {
  const { status } = spawnSync('taskset', ['-a', '-c', '-p', String(processor), String(process.pid)])
  return status === 0
}

async function measure(): Promise<void> {
  say(
    isPinned
      ? 'the service and PostgreSQL on one processor, the client on another'
      : 'not pinned: the client takes processor time that the service needs',
  )
  const dataDir = mkdtempSync(join(tmpdir(), 'backend-core-bench-'))
  chmodSync(dataDir, 0o711)
  const postgres = await startEmbeddedPostgres({ dataDir, durable: true })
  if (isPinned) pin(1)
  const tokens = Array.from({ length: users }, (_, n) => signToken({ secret, userId: `user-${n}` }))
  try {
    for (let round = 1; round <= Number(options.rounds); round++) {
      for (const mode of modes) {
        const service = await startService(postgres.connection, mode)
        await capacityOf(service.port, tokens, warmUpS)
        for (const share of shares) {
          const capacity = await capacityOf(service.port, tokens, seconds)
          report(mode, share, capacity, await loadAt(service, tokens, capacity * share))
        }
        await service.stop()
      }
    }
  } finally {
    await postgres.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

function report(mode: Mode, share: number, capacity: number, tally: Tally): void {
  const sorted = tally.latenciesMs.toSorted((a, b) => a - b)
  const at = (part: number) => `${(sorted[Math.floor(part * sorted.length)] ?? 0).toFixed(0)} ms`
  const each = (count: number) => (count / seconds).toFixed(0).padStart(5)
  say(
    `${mode.padEnd(10)} x${share.toFixed(1)} of ${capacity.toFixed(0)}/s asked ${(capacity * share).toFixed(0).padStart(5)}/s: ` +
      `good ${each(tally.good)}/s (${percent(tally.good / seconds / capacity)}) ` +
      `late ${each(tally.late)}/s refused ${each(tally.refused)}/s failed ${each(tally.failed)}/s; ` +
      `of the answered p50 ${at(0.5)} p99 ${at(0.99)}; ` +
      `processor: service ${percent(tally.serviceShare)} client ${percent(tally.clientShare)}`,
  )
  const sentLate = tally.sentLateMs.toSorted((a, b) => a - b)
  const lateMs = sentLate[Math.floor(0.99 * sentLate.length)] ?? 0
  if (lateMs > clientLateMs)
    say(`  the client was the limit: it sent 1 % of the requests more than ${lateMs.toFixed(0)} ms late`)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

const isPinned = positionals[0] !== 'service' && availableParallelism() > 1 && pin(1) && pin(0)
if (positionals[0] === 'service') await serve(JSON.parse(positionals[1] ?? ''))
else await measure()
