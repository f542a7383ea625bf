/** One line of numbers. The labels are the program's own or of closed sets, never what a client chose. */
export type Sample = {
  /** What follows the family's name, in a histogram. */
  readonly suffix?: '_bucket' | '_sum' | '_count'
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

/** All samples of one name. */
export type Family = {
  readonly name: string
  /** One sentence for the person who reads it. */
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
  /** It is said of one process: where several serve together, adding it up would say something else. */
  readonly perProcess?: true
}

/** The media type of `formatFamilies`. */
export const expositionType = 'text/plain; version=0.0.4; charset=utf-8'

/** The text format of Prometheus, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). */
export function formatFamilies(families: readonly Family[]): string {
  return families.map(formatFamily).join('')
}

function formatFamily({ name, help, type, samples }: Family): string {
  const head = `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`
  const lines = samples.map(
    ({ suffix = '', labels = {}, value }) =>
      `${name}${suffix}${formatLabels(labels)} ${formatValue(value)}\n`,
  )
  return head + lines.join('')
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}

/** Counts by the value of one label. */
export class Counts {
  readonly #label: string
  readonly #counts = new Map<string, number>()

  /** @param values those that are shown from the start, with 0, so that the first increase is seen as one */
  constructor(label: string, values: readonly string[] = []) {
    this.#label = label
    for (const value of values) this.#counts.set(value, 0)
  }

  add(value: string, amount = 1): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + amount)
  }

  samples(labels: Readonly<Record<string, string>> = {}): Sample[] {
    return Array.from(this.#counts, ([value, count]) => ({
      labels: { ...labels, [this.#label]: value },
      value: count,
    }))
  }
}

/** How many values were at most so large, and their sum. */
export class Histogram {
  readonly #bounds: readonly number[]
  readonly #counts: number[]
  #count = 0
  #sum = 0

  /** @param bounds ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = bounds.map(() => 0)
  }

  observe(value: number): void {
    this.#count++
    this.#sum += value
    for (let index = 0; index < this.#bounds.length; index++) {
      if (value > (this.#bounds[index] ?? 0)) continue
      this.#counts[index] = (this.#counts[index] ?? 0) + 1
      return
    }
  }

  samples(labels: Readonly<Record<string, string>>): Sample[] {
    let below = 0
    const cumulative = this.#counts.map((count) => {
      below += count
      return below
    })
    return histogramSamples(labels, this.#bounds, cumulative, this.#count, this.#sum)
  }
}

/** @param cumulative for each bound, how many values are at most that */
export function histogramSamples(
  labels: Readonly<Record<string, string>>,
  bounds: readonly number[],
  cumulative: readonly number[],
  count: number,
  sum: number,
): Sample[] {
  return [
    ...bounds.map(
      (bound, index): Sample => ({
        suffix: '_bucket',
        labels: { ...labels, le: String(bound) },
        value: cumulative[index] ?? 0,
      }),
    ),
    { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: count },
    { suffix: '_sum', labels, value: sum },
    { suffix: '_count', labels, value: count },
  ]
}
