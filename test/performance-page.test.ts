import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { operations } from '../bench/operations.ts'
import { generate } from '../bench/page.ts'
import { doubtsOf, leastRounds, mostInstability } from '../bench/report.ts'
import { instabilityOf, type Result, spreadOf } from '../bench/result.ts'
import { statements } from '../src/db/sql.ts'
import { root } from './support/imports.ts'

test('docs/performance.md and its chart are what bench/results say', () => {
  for (const { path, is, shouldBe } of generate())
    assert.equal(is, shouldBe, `${path}: node bench/page.ts --write`)
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
  // Written by bench/run.ts, and of no other form.
  const result = JSON.parse(readFileSync(join(root, 'bench/results/service.json'), 'utf8')) as Result
  const having = (rounds: number, instability: number) =>
    doubtsOf({ ...result, rounds, scenarios: result.scenarios.map((each) => ({ ...each, instability })) })
  assert.deepEqual(having(leastRounds, mostInstability), [])
  assert.equal(having(leastRounds - 1, 0).length, 1)
  assert.equal(having(leastRounds, mostInstability + 0.01).length, result.scenarios.length)
  assert.deepEqual(spreadOf([3, 1, 2]), { median: 2, low: 1, high: 3 })
  assert.equal(spreadOf([4, 1, 2, 3]).median, 2.5)
  assert.equal(instabilityOf([1, 1, 1, 1]), 0)
  assert.equal(instabilityOf([1, 2, 3, 4, 5]), 2 / 3)
})
