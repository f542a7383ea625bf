import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Line, LineSplitter } from '../../src/lib/line-splitter.ts'

/** Splits bytes that come in pieces that end at the given places. */
function split(bytes: Buffer, cuts: readonly number[], maxBytes: number): Line[] {
  const splitter = new LineSplitter(maxBytes)
  const places = [0, ...cuts.map((each) => each % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  const lines = places.slice(1).flatMap((end, at) => splitter.push(bytes.subarray(places[at], end)))
  return [...lines, ...splitter.end()]
}

const texts = fc.array(fc.constantFrom('\n', 'a', 'é', '𝄞', '\r', '{"x":1}', 'x'.repeat(100)), {
  maxLength: 60,
})

test('however a text is cut into pieces, its lines are the same, in their order and with their numbers', () => {
  fc.assert(
    fc.property(
      texts,
      fc.array(fc.nat(), { maxLength: 200 }),
      fc.integer({ min: 1, max: 300 }),
      (parts, cuts, max) => {
        const text = parts.join('')
        const expected = text.split('\n')
        if (expected.at(-1) === '') expected.pop()
        assert.deepEqual(
          split(Buffer.from(text), cuts, max).map(({ number, bytes }) => [number, bytes?.toString()]),
          expected.map((line, at) => [at + 1, Buffer.byteLength(line) > max ? undefined : line]),
        )
      },
    ),
  )
})

test('bytes that come one by one make the same lines', () => {
  const text = `${'x'.repeat(5_000)}\n${'y'.repeat(300)}`
  const cuts = Array.from({ length: text.length }, (_, at) => at)
  const lines = split(Buffer.from(text), cuts, 5_000)
  assert.deepEqual(
    lines.map(({ bytes }) => bytes?.length),
    [5_000, 300],
  )
})
