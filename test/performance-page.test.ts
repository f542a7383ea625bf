import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { operations } from '../bench/operations.ts'
import { generate, pageOf } from '../bench/page.ts'
import { processesOf } from '../bench/processes.ts'
import { doubtsOf, leastRounds, mostInstability } from '../bench/report.ts'
import {
  instabilityOf,
  type Result,
  type ScaleResult,
  spreadOf,
  type WorkersResult,
} from '../bench/result.ts'
import { statements } from '../src/db/sql.ts'
import { root } from './support/imports.ts'
import { eventually } from './support/process.ts'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
// Written by bench/run.ts, and of no other form.
const service = JSON.parse(read('bench/results/service.json')) as Result
const scale = JSON.parse(read('bench/results/scale.json')) as ScaleResult

const same = (value: number) => spreadOf([value])
const figures = (perSecond: number, cpuUs: number) => {
  return {
    perSecond: same(perSecond),
    p50Ms: same(5.94),
    p99Ms: same(18.8),
    p999Ms: same(22),
    cpuUs: same(cpuUs),
  }
}
const madeWorkers: WorkersResult = {
  name: 'get',
  title: 'Get a task',
  one: figures(9_807, 101),
  two: figures(10_788, 151.5),
  ratios: { perSecond: { median: 1.1, low: 0.98, high: 1.2 }, cpu: same(1.5) },
  instability: 0,
}

test('docs/performance.md and its chart are what bench/results say', () => {
  for (const { path, is, shouldBe } of generate())
    assert.equal(is, shouldBe, `${path}: node bench/page.ts --write`)
})

test('two workers are beside one on the page when the result has them, and no section is there when not', () => {
  const page = read('docs/performance.md')
  const shown = pageOf(page, { ...service, workers: [madeWorkers] }, scale)
  assert.match(shown, /^## Two workers beside one$/m)
  assert.match(shown, /load client and PostgreSQL share the same \d+ cores/)
  const row =
    '| Get a task | 9,807 | 5.9 | 18.8 | 101 | 10,788 | 5.9 | 18.8 | 152 | 1.10 (0.98–1.20) | 1.50 |'
  assert.ok(shown.includes(`\n${row}\n`), row)
  const { workers: _, ...without } = service
  const hidden = pageOf(shown, without, scale)
  assert.doesNotMatch(hidden, /Two workers/)
  assert.equal(pageOf(hidden, { ...without, workers: [madeWorkers] }, scale), shown)
})

test('the processes of a service are all that it has started', {
  skip: process.platform !== 'linux',
}, async () => {
  const child = spawn('sh', ['-c', 'cat; true'], { stdio: ['pipe', 'ignore', 'inherit'] })
  try {
    await eventually(async () => processesOf(Number(child.pid)).length === 2)
    assert.equal(processesOf(Number(child.pid))[0], child.pid)
  } finally {
    child.stdin.end()
  }
})

test('the floor and the database run the statements of the service', () => {
  const served = [...statements.values()].map(({ preparedAs, text, parameterList }) => {
    return { name: preparedAs, text, values: 1 + parameterList.length }
  })
  const content = { title: 'Buy milk', description: 'Two litres' }
  const body = JSON.stringify({ ...content, operations: [{ op: 'create', task: content }] })
  for (const [operation, { query }] of Object.entries(operations)) {
    const { name, text, values } = query({ userId: 'ann', task: 'an id', counter: '7', body })
    assert.equal(values[0], 'ann', operation)
    assert.ok(
      served.some((each) => each.name === name && each.text === text && each.values === values.length),
      `${operation} runs ${name}`,
    )
  }
})

test('rounds that are too few or too far apart are told', () => {
  const having = (rounds: number, instability: number) =>
    doubtsOf({
      ...service,
      rounds,
      scenarios: service.scenarios.map((each) => ({ ...each, instability })),
      workers: [{ ...madeWorkers, instability }],
    })
  assert.deepEqual(having(leastRounds, mostInstability), [])
  assert.equal(having(leastRounds - 1, 0).length, 1)
  assert.equal(having(leastRounds, mostInstability + 0.01).length, service.scenarios.length + 1)
  assert.deepEqual(spreadOf([3, 1, 2]), { median: 2, low: 1, high: 3 })
  assert.equal(spreadOf([4, 1, 2, 3]).median, 2.5)
  assert.equal(instabilityOf([1, 1, 1, 1]), 0)
  assert.equal(instabilityOf([1, 2, 3, 4, 5]), 2 / 3)
})
