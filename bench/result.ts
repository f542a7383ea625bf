// What a run of the benchmark found, as it is kept in bench/results.

/** The median of some rounds, and the least and the most of them. */
export type Spread = { readonly median: number; readonly low: number; readonly high: number }

export type Figures = {
  readonly perSecond: Spread
  readonly p50Ms: Spread
  readonly p99Ms: Spread
  readonly p999Ms: Spread
  /** CPU of the process that answers, or of all of a service with workers; not of the database alone. */
  readonly cpuUs: Spread | null
}

export type ScenarioResult = {
  readonly name: string
  readonly title: string
  readonly service: Figures
  readonly floor: Figures
  readonly database: Figures
  /** Of each round, what came one after the other. */
  readonly ratios: {
    /** Requests a second of the service, in parts of the floor's. */
    readonly perSecond: Spread
    /** CPU of the service a request, in parts of the floor's. */
    readonly cpu: Spread
    /** Requests a second of the service, in parts of the statements that the database alone does. */
    readonly ofDatabase: Spread
  }
  /** How far apart the middle half of the rounds is, in parts of the median: of `ratios.perSecond`. */
  readonly instability: number
}

/** A service of two workers beside one without, in one scenario. */
export type WorkersResult = {
  readonly name: string
  readonly title: string
  readonly one: Figures
  readonly two: Figures
  /** Of two, in parts of one: of each round, what came one after the other. */
  readonly ratios: { readonly perSecond: Spread; readonly cpu: Spread }
  /** Of `ratios.perSecond`, as that of a scenario. */
  readonly instability: number
}

export type MemorySample = { readonly requests: number; readonly rssBytes: number }

export type Bar = {
  readonly name: string
  /** In words, e.g. `at least 0.85`. */
  readonly wanted: string
  readonly measured: string
  readonly passed: boolean
}

export type Machine = {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly system: string
}

export type Origin = {
  /** RFC 3339. */
  readonly date: string
  readonly commit: string
  readonly machine: Machine
  readonly versions: { readonly node: string; readonly postgresql: string; readonly autocannon: string }
}

export type Result = Origin & {
  readonly kind: 'service'
  readonly connections: number
  readonly poolMax: number
  readonly users: number
  readonly tasks: number
  readonly rounds: number
  readonly secondsOfRound: number
  readonly scenarios: readonly ScenarioResult[]
  /** Left out when none of the scenarios that are compared was measured, and in results of before there were any. */
  readonly workers?: readonly WorkersResult[]
  readonly startUpMs: Spread
  readonly memory: readonly MemorySample[]
  readonly bars: readonly Bar[]
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), low: sorted[0] ?? 0, high: sorted.at(-1) ?? 0 }
}

/** The distance of the quartiles, in parts of the median. */
export function instabilityOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / quantile(sorted, 0.5)
}

/** Between two values, the one that lies so far between them. */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const [below = 0, above = below] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  return below + (above - below) * (at % 1)
}

/** The same at one size of the database. */
export type SizeResult = {
  readonly tasks: number
  readonly users: number
  readonly seedSeconds: number
  readonly databaseBytes: number
  readonly scenarios: readonly { readonly name: string; readonly title: string; readonly service: Figures }[]
  /** A first page of 20: of a user like the others, and of the one with many tasks, where there is one. */
  readonly firstPage: {
    readonly small: Figures
    readonly big: Figures | null
    readonly tasksOfBigUser: number
  }
}

export type ScaleResult = Origin & {
  readonly kind: 'scale'
  readonly connections: number
  readonly poolMax: number
  readonly rounds: number
  readonly secondsOfRound: number
  /** Of PostgreSQL, that are not its own. */
  readonly settings: Readonly<Record<string, string>>
  readonly sizes: readonly SizeResult[]
}
