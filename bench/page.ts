import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chartOf } from './chart.ts'
import {
  barRows,
  conditionsText,
  markdownTable,
  originText,
  scaleRows,
  scaleText,
  scenarioRows,
  workersRows,
} from './report.ts'
import type { Result, ScaleResult } from './result.ts'

// docs/performance.md and its chart, from the results in bench/results: node bench/page.ts --write
// Without --write it only says whether they agree.

const pathOf = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url))
const files = {
  page: pathOf('docs/performance.md'),
  chart: pathOf('docs/performance.svg'),
  service: pathOf('bench/results/service.json'),
  scale: pathOf('bench/results/scale.json'),
}

const read = (path: string) => readFileSync(path, 'utf8')

/** @returns what each of the two files is and what it should be */
export function generate(): { path: string; is: string; shouldBe: string }[] {
  // Written by run.ts, and of no other form.
  const service = JSON.parse(read(files.service)) as Result
  const scale = JSON.parse(read(files.scale)) as ScaleResult
  const page = read(files.page)
  const chart = { path: files.chart, is: readOr(files.chart), shouldBe: chartOf(service) }
  return [{ path: files.page, is: page, shouldBe: pageOf(page, service, scale) }, chart]
}

/** The page with the figures of these results. */
export function pageOf(page: string, service: Result, scale: ScaleResult): string {
  const withBars = between(page, 'bars', markdownTable(barRows(service.bars)))
  const withService = between(
    withBars,
    'service',
    `${originText(service)}. ${conditionsText(service)}.\n\n${markdownTable(scenarioRows(service))}`,
  )
  const withWorkers = between(withService, 'workers', workersSection(service))
  return between(
    withWorkers,
    'scale',
    `${originText(scale)}. ${scaleText(scale)}.\n\n${markdownTable(scaleRows(scale))}`,
  )
}

/** Of a result that does not have it there is none. */
function workersSection({ workers, machine, poolMax }: Result): string {
  if (workers === undefined) return ''
  return `## Two workers beside one

With \`WORKERS=2\` two processes serve on one port. A service of that kind and one with \`WORKERS=1\` are there at once, on the same
database, and take turns as above. Each answers over ${poolMax} connections to the database, which two workers share out. *CPU* is that
of all processes of the service, the primary process among them, for a request. *2/1* is requests a second with two workers, in
parts of those with one; *CPU 2/1* likewise.

**The load client and PostgreSQL share the same ${machine.cores} cores with the service**, so that on 2 cores there is little left for a
second process to use. What a machine with free cores would do is not measured here.

${markdownTable(workersRows(workers))}`
}

function readOr(path: string, otherwise = ''): string {
  try {
    return read(path)
  } catch {
    return otherwise
  }
}

/** The page with what is between two marks replaced. */
function between(page: string, name: string, text: string): string {
  const [start, end] = [`<!-- ${name}: from bench/results -->\n`, `<!-- end of ${name} -->`]
  const [from, to] = [page.indexOf(start), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no ${start.trim()} … ${end}`)
  return `${page.slice(0, from + start.length)}\n${text}\n${page.slice(to)}`
}

if (import.meta.main) {
  const isWriting = process.argv.includes('--write')
  for (const { path, is, shouldBe } of generate()) {
    if (is === shouldBe) continue
    if (isWriting) writeFileSync(path, shouldBe)
    else {
      process.stderr.write(`${path} is not what bench/results say: node bench/page.ts --write\n`)
      process.exitCode = 1
    }
  }
}
