import type { Bar, MemorySample, Result, ScenarioResult } from './result.ts'
import { batchSize } from './scenarios.ts'

// What the service must reach.

const leastOfFloor = 0.85
const mostCpuOfFloor = 1.25
const leastUnchanged = 3
const leastTasksPerSecond = 10_000
const mostStartUpMs = 2_000
const mostRssBytes = 120e6
const wholeMemoryRun = 1e6
/** Memory may go up by so much from the second quarter of the samples to the last, in parts of itself. */
const mostGrowth = 0.1

const common = ['list-20', 'get', 'create']

type Measured = Pick<Result, 'scenarios' | 'startUpMs' | 'memory'>

/** Of those bars whose scenarios were measured. */
export function barsOf({ scenarios, startUpMs, memory }: Measured): Bar[] {
  const of = (name: string) => scenarios.find((each) => each.name === name)
  const bars = scenarios.filter(({ name }) => common.includes(name)).flatMap(besideFloor)
  const [list, unchanged, batch] = [of('list-20'), of('list-304'), of('batch')]
  if (list !== undefined && unchanged !== undefined) {
    const ratio = unchanged.service.perSecond.median / list.service.perSecond.median
    bars.push(atLeast('a 304 against the list of 20, requests/s', leastUnchanged, ratio))
  }
  if (batch !== undefined) {
    const perSecond = batch.service.perSecond.median * batchSize
    bars.push({
      name: 'tasks/s made in batches',
      wanted: `at least ${leastTasksPerSecond.toLocaleString('en')}`,
      measured: Math.round(perSecond).toLocaleString('en'),
      passed: perSecond >= leastTasksPerSecond,
    })
  }
  bars.push({
    name: 'start-up until ready, database there and up to date',
    wanted: `less than ${mostStartUpMs / 1_000} s`,
    measured: `${(startUpMs.median / 1_000).toFixed(2)} s`,
    passed: startUpMs.median < mostStartUpMs,
  })
  return [...bars, ...memoryBars(memory)]
}

function besideFloor({ title, ratios }: ScenarioResult): Bar[] {
  return [
    atLeast(`${title}: requests/s against the floor`, leastOfFloor, ratios.perSecond.median),
    {
      name: `${title}: CPU a request against the floor`,
      wanted: `at most ${mostCpuOfFloor}`,
      measured: ratios.cpu.median.toFixed(2),
      passed: ratios.cpu.median <= mostCpuOfFloor,
    },
  ]
}

function atLeast(name: string, least: number, measured: number): Bar {
  return { name, wanted: `at least ${least}`, measured: measured.toFixed(2), passed: measured >= least }
}

function memoryBars(memory: readonly MemorySample[]): Bar[] {
  const requests = memory.at(-1)?.requests ?? 0
  const most = Math.max(...memory.map(({ rssBytes }) => rssBytes))
  const after = `after ${requests.toLocaleString('en')} requests`
  const short = requests < wholeMemoryRun ? `, and not after ${wholeMemoryRun.toLocaleString('en')}` : ''
  const quarter = Math.max(1, Math.floor(memory.length / 4))
  const before = mean(memory.slice(quarter, 2 * quarter))
  const growth = mean(memory.slice(-quarter)) - before
  return [
    {
      name: `memory, resident, ${after}${short}`,
      wanted: `less than ${mostRssBytes / 1e6} MB`,
      measured: `${(most / 1e6).toFixed(0)} MB`,
      passed: most < mostRssBytes,
    },
    {
      name: `memory is flat over ${memory.length} samples${short}`,
      wanted: `at most ${mostGrowth * 100} % or 5 MB more`,
      measured: `${(growth / 1e6).toFixed(1)} MB more`,
      passed: growth <= Math.max(before * mostGrowth, 5e6),
    },
  ]
}

function mean(samples: readonly MemorySample[]): number {
  return samples.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / samples.length
}
