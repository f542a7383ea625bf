import { barsOf } from './bars.ts'
import {
  type Bench,
  figuresOf,
  openBench,
  type Plan,
  poolMax,
  ratiosOf,
  type Sample,
  type Subject,
} from './measure.ts'
import { originOf } from './origin.ts'
import { rssOf, type Stage } from './processes.ts'
import type { Progress } from './progress.ts'
import { instabilityOf, type MemorySample, type Result, type ScenarioResult, spreadOf } from './result.ts'
import type { Scenario } from './scenarios.ts'
import { migrate, seed, userIds } from './seed.ts'
import { measureWorkers } from './two-workers.ts'

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
  const workers = await measureWorkers(bench, plan, progress)
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
    ...(workers.length > 0 && { workers }),
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
  const perSecond = ratiosOf('perSecond', service, floor)
  return {
    name,
    title,
    service: figuresOf(service),
    floor: figuresOf(floor),
    database: figuresOf(database),
    ratios: {
      perSecond: spreadOf(perSecond),
      cpu: spreadOf(ratiosOf('cpuUs', service, floor)),
      ofDatabase: spreadOf(ratiosOf('perSecond', service, database)),
    },
    instability: instabilityOf(perSecond),
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
