import pg from 'pg'
import { type Latencies, percentilesOf } from './latencies.ts'
import { operations, type Row } from './operations.ts'
import { floorConnection } from './pool.ts'
import { asksOf, scenarioOf, type User } from './scenarios.ts'
import { serveJobs } from './worker.ts'

// The database alone: the same statements, each connection with the next one as soon as the last is answered.

export type DatabaseJob = {
  readonly connectionString: string
  readonly scenario: string
  readonly users: readonly User[]
  readonly connections: number
  readonly seconds: number
}

export type DatabaseResult = Latencies & { readonly requests: number; readonly seconds: number }

async function run(job: DatabaseJob): Promise<DatabaseResult> {
  const asks = asksOf(scenarioOf(job.scenario), job.users, job.connections)
  const latenciesMs: number[] = []
  const clients = asks.map(() => new pg.Client(floorConnection(job.connectionString)))
  await Promise.all(clients.map((client) => client.connect()))
  const startMs = performance.now()
  const endMs = startMs + job.seconds * 1_000
  await Promise.all(
    clients.map(async (client, connection) => {
      const own = asks[connection] ?? []
      for (let at = 0; performance.now() < endMs; at = (at + 1) % own.length) {
        const ask = own[at]
        if (ask === undefined) return
        const sentMs = performance.now()
        await client.query<Row[]>({ ...operations[ask.operation].query(ask.input), rowMode: 'array' })
        latenciesMs.push(performance.now() - sentMs)
      }
    }),
  )
  const seconds = (performance.now() - startMs) / 1_000
  await Promise.all(clients.map((client) => client.end()))
  return { ...percentilesOf(latenciesMs), requests: latenciesMs.length, seconds }
}

serveJobs(run)
