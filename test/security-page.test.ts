import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/imports.ts'
import { readPage, tableAfter } from './support/markdown.ts'

const rows = tableAfter(readPage('SECURITY.md'), '## OWASP API Security Top 10 (2023)')

/** The tests that a cell names: a file and the name of a test in it. */
function testsIn(cell: string): { file: string; name: string }[] {
  return Array.from(cell.matchAll(/`(test\/[^`]+)` "([^"]+)"/g), ([, file = '', name = '']) => ({
    file,
    name,
  }))
}

/** Whether a file has a test of this very name. */
function hasTest(file: string, name: string): boolean {
  const path = join(root, file)
  if (!existsSync(path)) return false
  const text = readFileSync(path, 'utf8')
  return ["'", '"', '`'].some((quote) => text.includes(`test(${quote}${name}${quote}`))
}

test('SECURITY.md has each of the ten risks once, in order, each with a test that holds it', () => {
  const numbers = rows.map(([risk = '']) => Number(/^API(\d+):2023 /.exec(risk)?.[1]))
  assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  for (const [risk, what, tests = ''] of rows) {
    assert.ok(what, `${risk} says what holds it`)
    assert.ok(testsIn(tests).length > 0, `${risk} names a test`)
    assert.equal(
      testsIn(tests).length,
      tests.split('; `').length,
      `${risk} names files and tests in one form`,
    )
  }
})

test('every test that SECURITY.md names is there', () => {
  const named = rows.flatMap(([, , tests = '']) => testsIn(tests))
  assert.deepEqual(
    named.filter(({ file, name }) => !hasTest(file, name)),
    [],
  )
  assert.ok(!hasTest('test/isolation.test.ts', 'no such test') && !hasTest('test/none.test.ts', ''))
})
