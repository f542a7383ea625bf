import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isDeeperThan } from '../../src/lib/json-depth.ts'

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

test('a JSON text is deeper than a bound exactly when its value is', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8, noUnicodeString: false }), fc.nat(10), (text, bound) => {
      assert.equal(isDeeperThan(Buffer.from(text), bound), depthOf(JSON.parse(text)) > bound)
    }),
  )
})

test('what stands in strings does not count, whatever is escaped there', () => {
  for (const text of ['[[[[', '"[[[', '\\"[[[', '\\', '\\\\"{{{', ']]]]', '\u{1f600}[[[']) {
    const json = JSON.stringify({ [text]: [text] })
    assert.equal(isDeeperThan(Buffer.from(json), 2), false, json)
    assert.equal(isDeeperThan(Buffer.from(json), 1), true, json)
  }
})

test('what is no JSON is looked at to its end', () => {
  assert.equal(isDeeperThan(Buffer.from('"\\'), 1), false)
  assert.equal(isDeeperThan(Buffer.from(']]]]]]]'), 1), false)
  assert.equal(isDeeperThan(Buffer.from('[{'), 1), true)
})
