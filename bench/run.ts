import { parseArgs } from 'node:util'
import { openBench, type Sample, type Subject } from './measure.ts'
import { Stage } from './processes.ts'
import { scenarioOf, scenarios } from './scenarios.ts'
import { migrate, seed } from './seed.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
  },
})
const rounds = Number(options.rounds ?? (options.quick ? 1 : 5))
const seconds = options.quick ? 2 : 4
const chosen = options.only === undefined ? scenarios : options.only.split(',').map(scenarioOf)
const subjects: readonly Subject[] = ['service', 'floor', 'database']

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const stage = new Stage()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => stage.fail(new Error(`stopped by ${signal}`)))
try {
  await Promise.race([measure(), stage.failed])
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
  process.exitCode = 1
} finally {
  await stage.dispose()
}

async function measure(): Promise<void> {
  const address = await stage.startPostgres()
  await migrate(address)
  await seed(address, 1_024, 102_400)
  const bench = await openBench(stage, address)
  for (const { name } of chosen) {
    const samples: Record<Subject, Sample[]> = { service: [], floor: [], database: [] }
    for (const subject of subjects) await bench.run(subject, name, 1)
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? subjects : subjects.toReversed()
      for (const subject of order) samples[subject].push(await bench.run(subject, name, seconds))
    }
    for (const subject of subjects) {
      const of = (key: keyof Sample) => median(samples[subject].map((each) => each[key] ?? 0))
      process.stdout.write(
        `${name.padEnd(10)}${subject.padEnd(10)}${of('perSecond').toFixed(0).padStart(8)}/s  p50 ${of('p50Ms').toFixed(2)}  p99 ${of('p99Ms').toFixed(2)}  p99.9 ${of('p999Ms').toFixed(2)} ms  ${of('cpuUs').toFixed(1)} µs CPU\n`,
      )
    }
  }
  await bench.close()
}
