import { statfsSync } from 'node:fs'
import { tmpdir, totalmem } from 'node:os'
import pg from 'pg'
import { type Asking, type Bench, figuresOf, openBench, type Plan, poolMax, type Sample } from './measure.ts'
import { originOf } from './origin.ts'
import type { Stage } from './processes.ts'
import type { Progress } from './progress.ts'
import type { ScaleResult, SizeResult } from './result.ts'
import { bigUser, migrate, seed, userIds } from './seed.ts'

// The same scenarios on databases of several sizes, all there at once and measured by turns: what else the machine does
// falls on each.

const tasksEach = 100
const bigTasks = 100_000
/** Many more than fit the caches of a small database, few enough for one process to ask for. */
const askingUsers = 10_240
/** Measured: 0.9 kB a task with its indexes; the log of writing them and their sorting need room too. */
const bytesOfTask = 2_200
/**
 * What a server of many tasks is given: with PostgreSQL's own 128 MB and 1 GB, creates at 10 million read and write a page for
 * each of nine they touch, and a checkpoint every few seconds has each logged whole again (docs/scaling.md). A quarter of the
 * memory, as PostgreSQL's documentation has it (19.4.1 Memory).
 */
const settings = {
  shared_buffers: `${Math.max(1, Math.floor(totalmem() / 4 / 2 ** 30))}GB`,
  max_wal_size: '4GB',
}
const bytesOfLog = 4e9
/** Clients that ask for the first page of one user: few, so that what they wait for is the page and not each other. */
const pageConnections = 4
/**
 * Clients that send batches: 64 of them write some 30 MB of log at a time on the largest database, and wait for longer than
 * the service lets anyone wait whenever the disk pauses.
 */
const batchConnections = 16

type Opened = {
  readonly address: string
  readonly size: Omit<SizeResult, 'scenarios' | 'firstPage'>
  readonly tasksOfBigUser: number
  /** Who asks, unless said otherwise. */
  readonly users: readonly string[]
  readonly bench: Bench
  readonly samples: Map<string, Sample[]>
}

export async function runScale(
  stage: Stage,
  plan: Plan,
  sizes: readonly number[],
  progress: Progress,
): Promise<ScaleResult> {
  requireSpace(sizes.reduce((sum, each) => sum + each * bytesOfTask + bytesOfLog, 0))
  const opened: Opened[] = []
  for (const tasks of sizes) opened.push(await open(stage, plan, tasks, progress))
  const take = async (each: Opened, key: string, scenario: string, asking?: Asking) => {
    progress.say(`${each.size.tasks.toLocaleString('en')} tasks: ${key}`)
    await each.bench.run('service', scenario, plan.warmUpSeconds, asking)
    const sample = await each.bench.run('service', scenario, plan.seconds, asking)
    each.samples.set(key, [...(each.samples.get(key) ?? []), sample])
  }
  for (const { name } of plan.scenarios)
    for (let round = 0; round < plan.rounds; round++)
      for (const each of opened)
        await take(
          each,
          name,
          name,
          name === 'batch' ? { users: each.users, connections: batchConnections } : undefined,
        )
  for (let round = 0; round < plan.rounds; round++) {
    for (const each of opened) {
      const page = (user: string) => ({ users: [user], connections: pageConnections })
      await take(each, 'first page of a small user', 'list-20', page('user-1'))
      if (each.tasksOfBigUser > 0) await take(each, 'first page of the big user', 'list-20', page(bigUser))
    }
  }
  for (const { bench } of opened) await bench.close()
  const [first] = opened
  if (first === undefined) throw new Error('There is no size')
  return {
    kind: 'scale',
    ...(await originOf(first.address)),
    connections: plan.connections,
    poolMax,
    rounds: plan.rounds,
    secondsOfRound: plan.seconds,
    settings,
    sizes: opened.map((each) => resultOf(each, plan)),
  }
}

function requireSpace(bytes: number): void {
  const { bavail, bsize } = statfsSync(tmpdir())
  if (bavail * bsize >= bytes) return
  const gigabytes = (each: number) => (each / 1e9).toFixed(1)
  throw new Error(
    `${tmpdir()} has ${gigabytes(bavail * bsize)} GB free and ${gigabytes(bytes)} GB are needed: set TMPDIR to another folder, or ask for smaller --sizes`,
  )
}

async function open(stage: Stage, plan: Plan, tasks: number, progress: Progress): Promise<Opened> {
  const users = Math.max(1, Math.floor(tasks / tasksEach))
  const tasksOfBigUser = tasks >= 10 * bigTasks ? bigTasks : 0
  progress.say(`${tasks.toLocaleString('en')} tasks: starting PostgreSQL`)
  const address = await stage.startPostgres(settings)
  await migrate(address)
  const startedAt = performance.now()
  await seed(address, { users, tasksEach, tasksOfBigUser }, progress)
  const seedSeconds = (performance.now() - startedAt) / 1_000
  const client = new pg.Client({ connectionString: address })
  await client.connect()
  const { rows } = await client.query<{ bytes: string }>(
    'select pg_database_size(current_database()) as bytes',
  )
  await client.end()
  const asking = userIds(users, askingUsers)
  return {
    address,
    tasksOfBigUser,
    users: asking,
    size: { tasks, users, seedSeconds, databaseBytes: Number(rows[0]?.bytes) },
    bench: await openBench(stage, address, { users: asking, connections: plan.connections }),
    samples: new Map(),
  }
}

function resultOf({ size, samples, tasksOfBigUser }: Opened, { scenarios }: Plan): SizeResult {
  const of = (key: string) => figuresOf(samples.get(key) ?? [])
  return {
    ...size,
    scenarios: scenarios.map(({ name, title }) => ({ name, title, service: of(name) })),
    firstPage: {
      small: of('first page of a small user'),
      big: tasksOfBigUser > 0 ? of('first page of the big user') : null,
      tasksOfBigUser,
    },
  }
}
