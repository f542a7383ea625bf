import autocannon, { type Request } from 'autocannon'
import { type Latencies, percentilesOf } from './latencies.ts'
import { operations } from './operations.ts'
import { type Ask, asksOf, scenarioOf, type User } from './scenarios.ts'
import { serveJobs } from './worker.ts'

// Sends requests: a process of its own, that does what it is told over its channel.

export type LoadJob = {
  readonly url: string
  readonly subject: 'service' | 'floor'
  readonly scenario: string
  readonly users: readonly User[]
  readonly connections: number
  readonly seconds: number
}

export type LoadResult = Latencies & {
  readonly requests: number
  readonly seconds: number
  /** How many answers of each status. */
  readonly statuses: Readonly<Record<string, number>>
  /** Requests without an answer. */
  readonly errors: number
}

function toRequest({ operation, user, input }: Ask, subject: LoadJob['subject']): Request {
  const { method, path, headers } = operations[operation].request(input)
  return {
    method,
    // The floor needs not take a path apart to know what is asked, nor a token.
    path: subject === 'service' ? path : `/${operation}/${user.id}/${input.task}/${input.counter}`,
    headers: {
      authorization: `Bearer ${user.token}`,
      ...(input.body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(input.body !== undefined && { body: input.body }),
  }
}

async function load(job: LoadJob): Promise<LoadResult> {
  const { url, subject, connections } = job
  const asks = asksOf(scenarioOf(job.scenario), job.users, connections)
  const latenciesMs: number[] = []
  const statuses: Record<string, number> = {}
  let next = 0
  const startMs = performance.now()
  let lastMs = startMs
  const run = autocannon({
    url,
    connections,
    duration: job.seconds,
    setupClient: (client) => client.setRequests((asks[next++] ?? []).map((ask) => toRequest(ask, subject))),
  })
  run.on('response', (_client: unknown, status: number, _bytes: number, responseMs: number) => {
    latenciesMs.push(responseMs)
    statuses[status] = (statuses[status] ?? 0) + 1
    lastMs = performance.now()
  })
  const { errors, timeouts } = await run
  return {
    ...percentilesOf(latenciesMs),
    requests: latenciesMs.length,
    seconds: (lastMs - startMs) / 1_000,
    statuses,
    errors: errors + timeouts,
  }
}

serveJobs(load)
