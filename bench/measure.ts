import pg from 'pg'
import type { DatabaseJob, DatabaseResult } from './database.ts'
import type { FloorJob } from './floor.ts'
import type { Latencies } from './latencies.ts'
import type { LoadJob, LoadResult } from './load.ts'
import { cpuUsOf, type Process, processesOf, type Service, type Stage, type Worker } from './processes.ts'
import { type Figures, type Spread, spreadOf } from './result.ts'
import type { Scenario } from './scenarios.ts'
import { readUsers } from './seed.ts'

export type Plan = {
  readonly scenarios: readonly Scenario[]
  readonly rounds: number
  /** Of a round, in seconds: CPU is counted in ticks of 10 ms. */
  readonly seconds: number
  readonly warmUpSeconds: number
  /** Requests after which memory is judged. */
  readonly memoryRequests: number
  /** Looks at memory at least, one a round of the mix, so that there are quarters to compare. */
  readonly memorySamples: number
  readonly startUps: number
  readonly connections: number
}

/** What one round of one subject showed. */
export type Sample = Latencies & {
  readonly requests: number
  readonly perSecond: number
  /** CPU of the process that answers, or of all of a service with workers; undefined of the database alone. */
  readonly cpuUs: number | undefined
}

export type Subject = 'service' | 'floor' | 'database'

/** Connections to the database, of each of the three. */
export const poolMax = 10

/** Whose requests they are, and how many clients ask at a time. */
export type Asking = { readonly users: readonly string[]; readonly connections: number }

/** What is measured, with what measures it. */
export type Bench = {
  readonly service: Service
  /** @param asking who asks; the users and connections of the bench when left out */
  run(subject: Subject, scenario: string, seconds: number, asking?: Asking): Promise<Sample>
  /** Requests that the service has answered. */
  served(): number
  /** Starts one more service on the same database, which the same load asks. */
  startOther(environment: Readonly<Record<string, string>>): Promise<OtherService>
  close(): Promise<void>
}

export type OtherService = {
  /** Of all that it consists of. */
  readonly pids: readonly number[]
  /** @param connections clients that ask at a time; those of the bench when left out */
  run(scenario: string, seconds: number, connections?: number): Promise<Sample>
  end(): Promise<void>
}

const isNumberOf = (value: unknown, key: string): boolean =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, key) === 'number'

const isResult = <R extends LoadResult | DatabaseResult>(value: unknown): value is R =>
  isNumberOf(value, 'requests') && isNumberOf(value, 'seconds')

/** Starts the service, the floor and the two that ask, on a seeded database. */
export async function openBench(stage: Stage, connectionString: string, usual: Asking): Promise<Bench> {
  const pool = { DATABASE_POOL_MAX: String(poolMax) }
  const service = await stage.startService(connectionString, pool)
  const floor = await stage.startWorker<FloorJob, string>('floor.ts', (value) => typeof value === 'string')
  const floorUrl = await floor.run({ connectionString, poolMax })
  const load = await stage.startWorker<LoadJob, LoadResult>('load.ts', isResult<LoadResult>)
  const database = await stage.startWorker<DatabaseJob, DatabaseResult>(
    'database.ts',
    isResult<DatabaseResult>,
  )
  const client = new pg.Client({ connectionString })
  client.on('error', (error) => stage.fail(error))
  await client.connect()
  let served = 0
  return {
    service,
    served: () => served,
    async run(subject, scenario, seconds, { users, connections } = usual) {
      const job = { scenario, seconds, users: await readUsers(client, users) }
      if (subject === 'database') {
        return toSample(await database.run({ ...job, connectionString, connections: poolMax }), undefined)
      }
      const [url, asked] = subject === 'service' ? [service.url, service] : [floorUrl, floor]
      const sample = await runHttp(load, { ...job, url, subject, connections }, asked)
      if (subject === 'service') served += sample.requests
      return sample
    },
    async startOther(environment) {
      const other = await stage.startService(connectionString, { ...pool, ...environment })
      return {
        pids: processesOf(other.pid),
        end: other.end,
        async run(scenario, seconds, connections = usual.connections) {
          const users = await readUsers(client, usual.users)
          const job = { scenario, seconds, users, connections, url: other.url, subject: 'service' as const }
          return runHttp(load, job, other)
        },
      }
    },
    close: () => client.end(),
  }
}

async function runHttp(load: Worker<LoadJob, LoadResult>, job: LoadJob, asked: Process): Promise<Sample> {
  const pids = processesOf(asked.pid)
  const cpuOfAll = () => pids.reduce((sum, pid) => sum + cpuUsOf(pid), 0)
  const before = cpuOfAll()
  const result = await load.run(job)
  // Of one that has ended, or has come since, nobody would know the CPU.
  const now = processesOf(asked.pid)
  if (now.join() !== pids.join()) throw new Error(`The ${job.subject} was ${pids} and now is ${now}`)
  const cpuUs = cpuOfAll() - before
  const bad = Object.keys(result.statuses).filter((status) => !/^(2\d\d|304)$/.test(status))
  if (bad.length > 0 || result.errors > 0) {
    const counts = Object.entries(result.statuses).map(([status, count]) => `${count} × ${status}`)
    const what = `${counts.join(', ')}, ${result.errors} without an answer`
    throw new Error(`The ${job.subject} failed in ${job.scenario}: ${what}`)
  }
  return toSample(result, cpuUs)
}

function toSample({ requests, seconds, ...result }: DatabaseResult, cpuUs: number | undefined): Sample {
  if (requests === 0) throw new Error('Nothing was answered')
  const { p50Ms, p99Ms, p999Ms } = result
  return { requests, p50Ms, p99Ms, p999Ms, perSecond: requests / seconds, cpuUs: cpuUs && cpuUs / requests }
}

export function figuresOf(samples: readonly Sample[]): Figures {
  const of = (key: 'perSecond' | 'p50Ms' | 'p99Ms' | 'p999Ms'): Spread =>
    spreadOf(samples.map((each) => each[key]))
  const cpu = samples.flatMap(({ cpuUs }) => cpuUs ?? [])
  return {
    perSecond: of('perSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    p999Ms: of('p999Ms'),
    cpuUs: cpu.length === 0 ? null : spreadOf(cpu),
  }
}

/** Of each round, what one showed in parts of what the other did. */
export function ratiosOf(
  key: 'perSecond' | 'cpuUs',
  samples: readonly Sample[],
  others: readonly Sample[],
): number[] {
  return samples.map((each, round) => (each[key] ?? 0) / (others[round]?.[key] ?? Number.NaN))
}
