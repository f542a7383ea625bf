import pg from 'pg'
import type { DatabaseJob, DatabaseResult } from './database.ts'
import type { FloorJob } from './floor.ts'
import type { Latencies } from './latencies.ts'
import type { LoadJob, LoadResult } from './load.ts'
import { cpuUsOf, type Process, type Service, type Stage, type Worker } from './processes.ts'
import { readUsers } from './seed.ts'

/** What one round of one subject showed. */
export type Sample = Latencies & {
  readonly requests: number
  readonly perSecond: number
  /** CPU of the process that answers; undefined of the database, whose processes are many. */
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
  close(): Promise<void>
}

const isNumberOf = (value: unknown, key: string): boolean =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, key) === 'number'

const isResult = <R extends LoadResult | DatabaseResult>(value: unknown): value is R =>
  isNumberOf(value, 'requests') && isNumberOf(value, 'seconds')

/** Starts the service, the floor and the two that ask, on a seeded database. */
export async function openBench(stage: Stage, connectionString: string, usual: Asking): Promise<Bench> {
  const service = await stage.startService(connectionString, { DATABASE_POOL_MAX: String(poolMax) })
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
    close: () => client.end(),
  }
}

async function runHttp(load: Worker<LoadJob, LoadResult>, job: LoadJob, asked: Process): Promise<Sample> {
  const before = cpuUsOf(asked.pid)
  const result = await load.run(job)
  const cpuUs = cpuUsOf(asked.pid) - before
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
