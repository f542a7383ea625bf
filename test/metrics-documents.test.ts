import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { serveMetrics } from '../src/ops/metrics-server.ts'
import { newUser, startApp } from './support/app.ts'
import { root } from './support/imports.ts'
import { readPage, tableAfter } from './support/markdown.ts'
import { eventually } from './support/process.ts'
import { scrape } from './support/prometheus.ts'

// What the documents say of the metrics, against a real scrape.

const server = await serveMetrics({ host: '127.0.0.1', port: 0 })
const service = await startApp({ metrics: server.metrics })
after(() => server.close())
await service.as(newUser()).get('/api/me/tasks')
await service.as(newUser()).get('/api/me/nothing')
const page = readPage('docs/operations.md')
const { families } = await eventually(async () => {
  const now = await scrape(server.address)
  return now.sum('http_requests_total') === 2 && now
})

/** Linux alone tells of these. */
const linuxOnly = existsSync('/proc/self/fd') ? [] : ['process_open_fds', 'process_max_fds']

/** The series that exist, by name, with the names of their labels. */
const labelsOf = new Map(
  [...families].flatMap(([family, { type, series }]) => {
    const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    return suffixes.map((suffix) => {
      const name = family + suffix
      return [name, series.find((each) => each.name === name)?.labels] as const
    })
  }),
)

/** The metrics that an expression names, with the labels that it asks them for. */
function namedIn(expression: string): { name: string; labels: string[] }[] {
  const metric = /\b((?:http|backend_core|nodejs|process)_\w+)(?:\{([^}]*)\})?/g
  return Array.from(expression.matchAll(metric), ([, name = '', selector = '']) => ({
    name,
    labels: Array.from(selector.matchAll(/(\w+)(?:=~|!~|!=|=)"/g), ([, label = '']) => label),
  }))
}

function assertNamed(expressions: readonly string[]): Set<string> {
  const found = expressions.flatMap(namedIn).filter(({ name }) => !linuxOnly.includes(name))
  for (const { name, labels } of found) {
    assert.ok(labelsOf.has(name), `${name} is in /metrics`)
    const known = labelsOf.get(name)
    for (const label of labels) {
      // These are the scraper's own.
      if (known !== undefined && label !== 'instance' && label !== 'job') {
        assert.ok(label in known, `${name} has the label ${label}`)
      }
    }
  }
  return new Set(found.map(({ name }) => name))
}

test('docs/operations.md lists every metric with its labels, and no other', () => {
  const rows = tableAfter(page, '## Metrics').filter(([name = '']) => name.startsWith('`'))
  const cells = (text: string) => Array.from(text.matchAll(/`([^`]+)`/g), ([, name = '']) => name)
  const listed = rows.flatMap(([names = '', , meaning = '']) =>
    cells(names).concat(cells(meaning).filter((each) => /^(process|nodejs)_/.test(each))),
  )
  assert.deepEqual(
    listed.filter((name) => !linuxOnly.includes(name)).toSorted(),
    [...families.keys()].toSorted(),
  )
  for (const [names = '', labels = ''] of rows) {
    const [family = ''] = cells(names)
    const [sample] = families.get(family)?.series ?? []
    if (sample === undefined) continue
    const { le: _, ...own } = sample.labels
    assert.deepEqual(cells(labels), Object.keys(own), family)
  }
})

test('every metric and label that an alert asks for is in /metrics, and every alert says what to do', () => {
  const [, rules = ''] = page.text.split('### Alerts')
  const [, yaml = ''] = rules.split('```')
  assert.ok(assertNamed([yaml]).size >= 10)
  const alerts = Array.from(yaml.matchAll(/- alert: (\w+)/g), ([, name = '']) => name)
  const told = tableAfter(page, '### Alerts').flatMap(([names = '']) =>
    Array.from(names.matchAll(/`(\w+)`/g), ([, name = '']) => name),
  )
  assert.deepEqual(told.toSorted(), alerts.toSorted())
})

test('every metric and label in the dashboard is in /metrics, and nearly all of /metrics in the dashboard', () => {
  const dashboard = JSON.parse(readFileSync(join(root, 'docs/grafana-dashboard.json'), 'utf8'))
  const expressions: string[] = dashboard.panels.flatMap((panel: { targets: { expr: string }[] }) =>
    panel.targets.map(({ expr }) => expr),
  )
  assert.ok(expressions.length >= 15)
  const shown = assertNamed(expressions)
  const missing = [...families.keys()].filter((family) => ![...shown].some((name) => name.startsWith(family)))
  assert.deepEqual(missing, [
    'process_cpu_user_seconds_total',
    'process_cpu_system_seconds_total',
    'nodejs_heap_size_total_bytes',
  ])
})

test('every code of the errors that an alert or the page names is one of the catalogue', async () => {
  const { errorCatalogue } = await import('../src/errors.ts')
  const named = Array.from(page.text.matchAll(/code="(\w+)"/g), ([, code = '']) => code)
  assert.ok(named.length >= 3)
  for (const code of named) assert.ok(code in errorCatalogue, code)
})
