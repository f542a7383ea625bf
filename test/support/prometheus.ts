import assert from 'node:assert/strict'

export type Labels = Readonly<Record<string, string>>
export type Series = { readonly name: string; readonly labels: Labels; readonly value: number }
export type ReadFamily = { readonly help: string; readonly type: string; readonly series: Series[] }

export type Scrape = {
  readonly text: string
  readonly families: ReadonlyMap<string, ReadFamily>
  /** All series of a family's name, or of one of its names with a suffix. */
  series(name: string): Series[]
  /** The sum of the series that have these labels among theirs; 0 when there is none. */
  sum(name: string, labels?: Labels): number
}

/** Reads /metrics as a scraper does, and fails on what one would refuse. */
export async function scrape(address: string): Promise<Scrape> {
  const response = await fetch(address)
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  return readExposition(await response.text())
}

const headForm = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/
const sampleForm = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([+-]Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/
const labelForm = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y

/**
 * Reads the text format, version 0.0.4, strictly: HELP, TYPE and the samples of a family together and once, no series
 * twice, and buckets that only grow up to the count.
 */
export function readExposition(text: string): Scrape {
  assert.ok(text.endsWith('\n'), 'the last line ends')
  const families = new Map<string, ReadFamily>()
  const seen = new Set<string>()
  let current: { name: string; family: ReadFamily } | undefined
  let help: { name: string; text: string } | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const [, kind, name = '', rest = ''] = headForm.exec(line) ?? []
    if (kind === 'HELP') {
      help = { name, text: rest }
    } else if (kind === 'TYPE') {
      assert.ok(help?.name === name && !families.has(name), `${name} begins once, with its HELP`)
      assert.match(rest, /^(counter|gauge|histogram)$/)
      current = { name, family: { help: help.text, type: rest, series: [] } }
      families.set(name, current.family)
    } else {
      const [, sample = '', labels = '', value = ''] = sampleForm.exec(line) ?? []
      assert.ok(sample !== '' && current !== undefined, `a sample: ${line}`)
      const suffixes = current.family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
      assert.ok(
        suffixes.some((suffix) => sample === current?.name + suffix),
        `${sample} belongs to ${current.name}`,
      )
      const series = {
        name: sample,
        labels: readLabels(labels),
        value: Number(value.replace('Inf', 'Infinity')),
      }
      const key = `${sample}${JSON.stringify(Object.entries(series.labels).sort())}`
      assert.ok(!seen.has(key), `${key} is there once`)
      seen.add(key)
      current.family.series.push(series)
    }
  }
  for (const [name, family] of families) checkFamily(name, family)
  const all = [...families.values()].flatMap(({ series }) => series)
  const find = (name: string) => all.filter((series) => series.name === name)
  return {
    text,
    families,
    series: find,
    sum: (name, labels = {}) =>
      find(name)
        .filter((series) => Object.entries(labels).every(([label, value]) => series.labels[label] === value))
        .reduce((sum, { value }) => sum + value, 0),
  }
}

function readLabels(text: string): Labels {
  const labels: Record<string, string> = {}
  labelForm.lastIndex = 0
  for (let at = 0; at < text.length; at = labelForm.lastIndex) {
    const [, name, value] = labelForm.exec(text) ?? []
    assert.ok(name !== undefined && value !== undefined && !(name in labels), `labels: ${text}`)
    labels[name] = value.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
  }
  return labels
}

function checkFamily(name: string, { type, series }: ReadFamily): void {
  if (type === 'counter') {
    assert.match(name, /_total$/)
    for (const { value } of series) assert.ok(value >= 0, `${name} is no counter: ${value}`)
  }
  if (type !== 'histogram') return
  const groups = Map.groupBy(series, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels))
  for (const [labels, group] of groups) {
    const buckets = group.filter((each) => each.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels: { le = '' } }) => Number(le.replace('Inf', 'Infinity')))
    assert.deepEqual(
      bounds,
      bounds.toSorted((a, b) => a - b),
      `${name}${labels}`,
    )
    const values = buckets.map(({ value }) => value)
    assert.deepEqual(
      values,
      values.toSorted((a, b) => a - b),
      `${name}${labels}`,
    )
    assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY)
    const count = group.find((each) => each.name === `${name}_count`)?.value
    assert.equal(values.at(-1), count, `${name}${labels} counts all`)
    assert.ok(group.some((each) => each.name === `${name}_sum`))
  }
}
