import { barsOf } from './bars.ts'
import { type Bench, openBench, poolMax, type Sample, type Subject } from './measure.ts'
import { originOf } from './origin.ts'
import { rssOf, type Stage } from './processes.ts'
import type { Progress } from './progress.ts'
import {
  type Figures,
  instabilityOf,
  type MemorySample,
  type Result,
  type ScenarioResult,
  type Spread,
  spreadOf,
} from './result.ts'
import type { Scenario } from './scenarios.ts'
import { migrate, seed, userIds } from './seed.ts'

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

const users = 1_024
const tasksEach = 100
const subjects: readonly Subject[] = ['service', 'floor', 'database']

/** The service, the floor and the database by turns, then what is only of the service. */
export async function runStandard(stage: Stage, plan: Plan, progress: Progress): Promise<Result> {
  progress.say('starting PostgreSQL')
  const address = await stage.startPostgres()
  await migrate(address)
  await seed(address, { users, tasksEach }, progress)
  const bench = await openBench(stage, address, { users: userIds(users), connections: plan.connections })
  const scenarios: ScenarioResult[] = []
  for (const scenario of plan.scenarios) scenarios.push(await measure(bench, scenario, plan, progress))
  const memory = await fillMemory(bench, plan, progress)
  await bench.close()
  progress.say('start-up')
  const startUpMs: number[] = []
  for (let round = 0; round < plan.startUps; round++) {
    const service = await stage.startService(address)
    startUpMs.push(service.startMs)
    await service.end()
  }
  const measured = { scenarios, startUpMs: spreadOf(startUpMs), memory }
  return {
    kind: 'service',
    ...(await originOf(address)),
    connections: plan.connections,
    poolMax,
    users,
    tasks: users * tasksEach,
    rounds: plan.rounds,
    secondsOfRound: plan.seconds,
    ...measured,
    bars: barsOf(measured),
  }
}

async function measure(
  bench: Bench,
  scenario: Scenario,
  plan: Plan,
  progress: Progress,
): Promise<ScenarioResult> {
  const { name, title } = scenario
  const samples: Record<Subject, Sample[]> = { service: [], floor: [], database: [] }
  progress.say(`${name}: warming up`)
  for (const subject of subjects) await bench.run(subject, name, plan.warmUpSeconds)
  for (let round = 0; round < plan.rounds; round++) {
    // Who goes first changes, so that what one leaves behind for the next falls on each.
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      progress.say(`${name}: round ${round + 1} of ${plan.rounds}, ${subject}`)
      samples[subject].push(await bench.run(subject, name, plan.seconds))
    }
  }
  const { service, floor, database } = samples
  const ratio = (key: 'perSecond' | 'cpuUs', others: readonly Sample[]) =>
    service.map((each, round) => (each[key] ?? 0) / (others[round]?.[key] ?? Number.NaN))
  const perSecond = ratio('perSecond', floor)
  return {
    name,
    title,
    service: figuresOf(service),
    floor: figuresOf(floor),
    database: figuresOf(database),
    ratios: {
      perSecond: spreadOf(perSecond),
      cpu: spreadOf(ratio('cpuUs', floor)),
      ofDatabase: spreadOf(ratio('perSecond', database)),
    },
    instability: instabilityOf(perSecond),
  }
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

/** Asks the mix until the service has answered so many requests in all, and looks at its memory meanwhile. */
async function fillMemory(bench: Bench, plan: Plan, progress: Progress): Promise<MemorySample[]> {
  const samples: MemorySample[] = []
  while (bench.served() < plan.memoryRequests || samples.length < plan.memorySamples) {
    progress.say(`memory: ${bench.served()} of ${plan.memoryRequests} requests`)
    await bench.run('service', 'mixed', plan.seconds)
    samples.push({ requests: bench.served(), rssBytes: rssOf(bench.service.pid) })
  }
  return samples
}
