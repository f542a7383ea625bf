import { type Bench, figuresOf, type Plan, poolMax, ratiosOf, type Sample } from './measure.ts'
import type { Progress } from './progress.ts'
import { instabilityOf, spreadOf, type WorkersResult } from './result.ts'

// What WORKERS=2 brings beside WORKERS=1: two services on one database, asked by turns.

const compared = ['get', 'list-20', 'mixed']

/** @returns of those scenarios of the plan that are compared */
export async function measureWorkers(bench: Bench, plan: Plan, progress: Progress): Promise<WorkersResult[]> {
  const scenarios = plan.scenarios.filter(({ name }) => compared.includes(name))
  if (scenarios.length === 0) return []
  progress.say('starting services of 1 and of 2 workers')
  const one = await bench.startOther({ WORKERS: '1' })
  const two = await bench.startOther({ WORKERS: '2' })
  // A service without workers is one process; with them there is the primary process too.
  const counts = [one.pids.length, two.pids.length]
  if (counts.join() !== '1,3') throw new Error(`Services of 1 and 2 workers have ${counts} processes`)
  const results: WorkersResult[] = []
  for (const { name, title } of scenarios) {
    const [ofOne, ofTwo]: [Sample[], Sample[]] = [[], []]
    const turns = [
      { service: one, label: '1 worker', samples: ofOne },
      { service: two, label: '2 workers', samples: ofTwo },
    ]
    progress.say(`${name}: warming up 1 and 2 workers`)
    // By as many clients as need not wait for a connection: a service that has just begun is slow, and refuses more of them.
    for (const { service } of turns) await service.run(name, plan.warmUpSeconds, poolMax)
    for (let round = 0; round < plan.rounds; round++) {
      for (const { service, label, samples } of round % 2 === 0 ? turns : turns.toReversed()) {
        progress.say(`${name}: round ${round + 1} of ${plan.rounds}, ${label}`)
        samples.push(await service.run(name, plan.seconds))
      }
    }
    results.push(resultOf(name, title, ofOne, ofTwo))
  }
  await one.end()
  await two.end()
  return results
}

function resultOf(
  name: string,
  title: string,
  one: readonly Sample[],
  two: readonly Sample[],
): WorkersResult {
  const perSecond = ratiosOf('perSecond', two, one)
  return {
    name,
    title,
    one: figuresOf(one),
    two: figuresOf(two),
    ratios: { perSecond: spreadOf(perSecond), cpu: spreadOf(ratiosOf('cpuUs', two, one)) },
    instability: instabilityOf(perSecond),
  }
}
