import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { canonicalJson } from '../../src/idempotency/canonical-json.ts'

/** The same value with the members of every object in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).reverse()
  const copy: Record<string, unknown> = Object.create(null)
  for (const [name, member] of members) copy[name] = reversed(member)
  return copy
}

test('it is the same value, in one form whatever the order of members', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value)
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)))
      assert.equal(canonicalJson(reversed(value)), text)
    }),
  )
})

test('values have the same text just when they are equal', () => {
  const parsed = fc.jsonValue({ maxDepth: 2 }).map((value): unknown => JSON.parse(JSON.stringify(value)))
  fc.assert(
    fc.property(parsed, parsed, (a, b) => {
      assert.equal(canonicalJson(a) === canonicalJson(b), isDeepStrictEqual(a, b))
    }),
  )
})

for (const [text, canonical] of [
  ['{"b":1,"a":{"d":[],"c":{}}}', '{"a":{"c":{},"d":[]},"b":1}'],
  ['[1,[2,[]],{"a":null},true,"x"]', '[1,[2,[]],{"a":null},true,"x"]'],
  ['{"__proto__":1,"10":2,"9":3,"":4}', '{"":4,"10":2,"9":3,"__proto__":1}'],
  ['"\\u00e9\\/\\ud800\\u0000"', '"é/\\ud800\\u0000"'],
  ['1.0e2', '100'],
] as const) {
  test(`of ${text} it makes ${canonical}`, () => assert.equal(canonicalJson(JSON.parse(text)), canonical))
}

test('depth is no matter', () => {
  const deep = '['.repeat(500_000) + ']'.repeat(500_000)
  assert.equal(canonicalJson(JSON.parse(deep)), deep)
  const objects = `${'{"a":'.repeat(100_000)}null${'}'.repeat(100_000)}`
  assert.equal(canonicalJson(JSON.parse(objects)), objects)
})
