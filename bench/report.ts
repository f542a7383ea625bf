import type {
  Bar,
  Figures,
  Origin,
  Result,
  ScaleResult,
  ScenarioResult,
  Spread,
  WorkersResult,
} from './result.ts'

// A result as text: on a terminal, and in docs/performance.md.

/** More than this between the quartiles of the rounds, and their median says little. */
export const mostInstability = 0.15
/** Fewer rounds have no median to speak of. */
export const leastRounds = 5

const head = [
  'scenario',
  'service /s',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'CPU µs',
  'floor /s',
  'CPU µs',
  'database /s',
  'service/floor',
  'CPU/floor',
  'service/database',
]

const whole = (value: number) => Math.round(value).toLocaleString('en')
const ms = (value: number) => value.toFixed(1)
const cpu = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(0))

const withRange = ({ median, low, high }: Spread) =>
  `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`

function cellsOf({ title, service, floor, database, ratios }: ScenarioResult): string[] {
  return [
    title,
    whole(service.perSecond.median),
    ms(service.p50Ms.median),
    ms(service.p99Ms.median),
    ms(service.p999Ms.median),
    cpu(service.cpuUs?.median),
    whole(floor.perSecond.median),
    cpu(floor.cpuUs?.median),
    whole(database.perSecond.median),
    withRange(ratios.perSecond),
    ratios.cpu.median.toFixed(2),
    ratios.ofDatabase.median.toFixed(2),
  ]
}

/** Columns in line, for a terminal. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
  return `${rows.map((row) => line(row).trimEnd()).join('\n')}\n`
}

export function markdownTable(rows: readonly (readonly string[])[]): string {
  const [titles = [], ...rest] = rows.map((row) => `| ${row.join(' | ')} |`)
  const rule = `| ${(rows[0] ?? []).map((_, at) => (at === 0 ? '---' : '---:')).join(' | ')} |`
  return `${[titles, rule, ...rest].join('\n')}\n`
}

export const scenarioRows = ({ scenarios }: Result): string[][] => [head, ...scenarios.map(cellsOf)]

/** Two workers beside one. */
export function workersRows(workers: readonly WorkersResult[]): string[][] {
  const cells = ({ perSecond, p50Ms, p99Ms, cpuUs }: Figures) => [
    whole(perSecond.median),
    ms(p50Ms.median),
    ms(p99Ms.median),
    cpu(cpuUs?.median),
  ]
  const titles = ['p50 ms', 'p99 ms', 'CPU µs']
  return [
    ['scenario', '1 worker /s', ...titles, '2 workers /s', ...titles, '2/1', 'CPU 2/1'],
    ...workers.map(({ title, one, two, ratios }) => {
      return [title, ...cells(one), ...cells(two), withRange(ratios.perSecond), ratios.cpu.median.toFixed(2)]
    }),
  ]
}

export const barRows = (bars: readonly Bar[]): string[][] => [
  ['bar', 'wanted', 'measured', ''],
  ...bars.map(({ name, wanted, measured, passed }) => [name, wanted, measured, passed ? 'pass' : 'FAIL']),
]

export function originText({ date, commit, machine, versions }: Origin): string {
  const { cpu: model, cores, memoryBytes, system } = machine
  const gigabytes = (memoryBytes / 2 ** 30).toFixed(0)
  const { node, postgresql, autocannon } = versions
  return (
    `${date.slice(0, 10)}, commit ${commit}: ${cores} cores of ${model}, ${gigabytes} GB, ${system}; ` +
    `Node ${node}, PostgreSQL ${postgresql}, autocannon ${autocannon}`
  )
}

export function conditionsText(result: Result): string {
  const { connections, poolMax, users, tasks, rounds, secondsOfRound } = result
  return (
    `${connections} connections of clients, ${poolMax} to the database, ${whole(users)} users with ` +
    `${whole(tasks)} tasks; ${rounds} ${rounds === 1 ? 'round' : 'rounds'} of ${secondsOfRound} s`
  )
}

/** What keeps the medians from being trusted. */
export function doubtsOf({ rounds, scenarios, workers = [] }: Result): string[] {
  const measured = [
    ...scenarios.map((each) => ({ ...each, ratio: 'service/floor' })),
    ...workers.map((each) => ({ ...each, ratio: '2 workers/1' })),
  ]
  const unstable = measured
    .filter(({ instability }) => instability > mostInstability)
    .map(({ title, ratio, instability, ratios: { perSecond } }) => {
      const { low, high } = perSecond
      return `${title}: unstable, the middle half of ${ratio} is ${(instability * 100).toFixed(0)} % of its median apart (${low.toFixed(2)} to ${high.toFixed(2)})`
    })
  return [...(rounds < leastRounds ? [`${rounds} of at least ${leastRounds} rounds`] : []), ...unstable]
}

/** Under what the sizes were measured. */
export function scaleText({ connections, poolMax, rounds, secondsOfRound, settings }: ScaleResult): string {
  const given = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  return (
    `${connections} connections of clients, ${poolMax} to the database; ${rounds} rounds of ${secondsOfRound} s; ` +
    `PostgreSQL with ${given.join(', ')}`
  )
}

/** A column for each size: requests a second, and in parts of those at the first size. */
export function scaleRows({ sizes }: ScaleResult): string[][] {
  const [first] = sizes
  const rows = (first?.scenarios ?? []).map(({ title }, at) => {
    const rates = sizes.map(({ scenarios }) => scenarios[at]?.service.perSecond.median ?? 0)
    return [`${title}, /s`, ...rates.map((rate) => `${whole(rate)} (${(rate / (rates[0] ?? 0)).toFixed(2)})`)]
  })
  const pages = (title: string, of: (size: ScaleResult['sizes'][number]) => number | undefined) => {
    return [title, ...sizes.map((size) => of(size)?.toFixed(1) ?? '–')]
  }
  return [
    ['', ...sizes.map(({ tasks }) => `${whole(tasks)} tasks`)],
    ...rows,
    pages('First page of a user with 100 tasks, p99 ms', ({ firstPage }) => firstPage.small.p99Ms.median),
    pages('First page of a user with 100,000, p99 ms', ({ firstPage }) => firstPage.big?.p99Ms.median),
    pages('Size of the database, GB', ({ databaseBytes }) => databaseBytes / 1e9),
    pages('Seconds to seed it', ({ seedSeconds }) => seedSeconds),
  ]
}
