import { accessSync, constants, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import type { Plan } from './measure.ts'
import { onStage, type Stage, Stop } from './processes.ts'
import { showSteps } from './progress.ts'
import {
  barRows,
  conditionsText,
  doubtsOf,
  originText,
  scaleRows,
  scaleText,
  scenarioRows,
  textTable,
  workersRows,
} from './report.ts'
import type { Result, ScaleResult } from './result.ts'
import { runScale } from './scale.ts'
import { scenarioOf, scenarios } from './scenarios.ts'
import { runStandard } from './standard.ts'

const usage = `Usage: npm run bench -- [OPTIONS]
  --quick             one short round of each scenario (about two minutes)
  --only a,b          these scenarios: ${scenarios.map(({ name }) => name).join(', ')}
  --rounds N          rounds of each scenario (default 7; quick 1)
  --connections N     clients that ask at a time (default 64)
  --scale             the scenarios at several sizes of the database
  --sizes N,N         these numbers of tasks (default 10000,1000000,10000000)
  --json FILE         write the result there too
  --strict            exit with 1 when the service misses a bar`

type Options = ReturnType<typeof readOptions>

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        only: { type: 'string', default: '' },
        rounds: { type: 'string' },
        connections: { type: 'string', default: '64' },
        scale: { type: 'boolean', default: false },
        sizes: { type: 'string', default: '10000,1000000,10000000' },
        json: { type: 'string' },
        strict: { type: 'boolean', default: false },
      },
    })
    const { quick } = values
    const rounds = numberOf('rounds', values.rounds ?? (quick ? '1' : values.scale ? '5' : '7'))
    const chosen = values.only === '' ? scenarios : values.only.split(',').map(scenarioOf)
    const plan: Plan = {
      scenarios: chosen,
      rounds,
      seconds: quick ? 2 : 4,
      warmUpSeconds: quick ? 0.5 : 2,
      memoryRequests: quick ? 0 : 1_000_000,
      memorySamples: quick ? 4 : 24,
      startUps: quick ? 1 : 7,
      connections: numberOf('connections', values.connections),
    }
    // Not found out at the end.
    if (values.json !== undefined) accessSync(dirname(values.json), constants.W_OK)
    return { ...values, plan, sizes: values.sizes.split(',').map((each) => numberOf('sizes', each)) }
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n${usage}`)
  }
}

function numberOf(name: string, text: string): number {
  if (!/^[1-9]\d{0,7}$/.test(text)) throw new Error(`--${name} must be a whole number from 1`)
  return Number(text)
}

const say = (text: string) => process.stdout.write(`${text}\n`)

/** @returns whether it may count as well done */
function report(result: Result, { quick, strict }: Options): boolean {
  say(`${originText(result)}\n${conditionsText(result)}\n`)
  say(textTable(scenarioRows(result)))
  if (result.workers !== undefined) say(textTable(workersRows(result.workers)))
  say(textTable(barRows(result.bars)))
  const doubts = doubtsOf(result)
  for (const doubt of doubts) say(doubt)
  const isMissed = result.bars.some(({ passed }) => !passed)
  return (quick || doubts.length === 0) && !(strict && isMissed)
}

function reportScale(result: ScaleResult): boolean {
  say(`${originText(result)}\n${scaleText(result)}\n`)
  say(textTable(scaleRows(result)))
  return true
}

async function main(stage: Stage): Promise<boolean> {
  const options = readOptions()
  const progress = showSteps()
  const running = options.scale
    ? runScale(stage, options.plan, options.sizes, progress)
    : runStandard(stage, options.plan, progress)
  const result = await Promise.race([running, stage.failed]).finally(progress.end)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`)
  return result.kind === 'scale' ? reportScale(result) : report(result, options)
}

await onStage(async (stage) => {
  if (!(await main(stage))) process.exitCode = 1
})
