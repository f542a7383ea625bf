import { Agent, request } from 'node:http'
import { signToken } from '../src/cli/sign-token.ts'
import { benchSecret, cpuUsOf, onStage, type Service } from './processes.ts'
import { spreadOf } from './result.ts'

// What counting costs: node bench/metrics.ts [ROUNDS]
// GET of one task over 32 connections, by turns from a service without METRICS_PORT and from one with it that is scraped
// once a round. Throughput moves with whatever else the machine does; CPU time of the service a request does so less.

const rounds = Number(process.argv[2] ?? 12)
const connections = 32
const roundMs = 2_000
const authorization = `Bearer ${signToken({ secret: benchSecret, userId: 'bench' })}`

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
async function run({ pid, url, startLog }: Service, task: string): Promise<[number, number]> {
  const metrics = /"metrics_address":"([^"]+)"/.exec(startLog)?.[1]
  const path = `${url}/api/me/tasks/${task}`
  const startedAt = performance.now()
  const cpu = cpuUsOf(pid)
  let count = 0
  const work = async () => {
    while (performance.now() - startedAt < roundMs) {
      await get(path)
      count++
    }
  }
  const scraping = metrics === undefined ? undefined : fetch(metrics).then((response) => response.text())
  await Promise.all([...Array.from({ length: connections }, work), scraping])
  return [(count * 1000) / (performance.now() - startedAt), (cpuUsOf(pid) - cpu) / count]
}

const median = (values: readonly number[]) => spreadOf(values).median

await onStage(async (stage) => {
  const address = await stage.startPostgres()
  // One user asks more often than people do.
  const unlimited = { RATE_LIMIT_PER_MINUTE: '0' }
  const services = {
    off: await stage.startService(address, unlimited),
    on: await stage.startService(address, { ...unlimited, METRICS_PORT: '0' }),
  }
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
  agent.destroy()
})
