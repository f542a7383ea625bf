import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counts, formatFamilies, Histogram } from '../src/ops/exposition.ts'
import { readExposition } from './support/prometheus.ts'

test('HELP and TYPE come before the samples, and text is escaped as the format says', () => {
  const text = formatFamilies([
    {
      name: 'a_total',
      help: 'One \\ and\na "second" line',
      type: 'counter',
      samples: [{ labels: { b: 'x\\y "z"\nw', c: '' }, value: 1 }, { value: 0.5 }],
    },
    { name: 'b', help: 'Bounds', type: 'gauge', samples: [{ value: Number.POSITIVE_INFINITY }] },
    { name: 'c', help: 'None yet', type: 'gauge', samples: [] },
  ])
  assert.equal(
    text,
    [
      '# HELP a_total One \\\\ and\\na "second" line',
      '# TYPE a_total counter',
      'a_total{b="x\\\\y \\"z\\"\\nw",c=""} 1',
      'a_total 0.5',
      '# HELP b Bounds',
      '# TYPE b gauge',
      'b +Inf',
      '# HELP c None yet',
      '# TYPE c gauge',
      '',
    ].join('\n'),
  )
  assert.deepEqual(readExposition(text).series('a_total')[0]?.labels, { b: 'x\\y "z"\nw', c: '' })
})

test('a histogram counts a value in every bucket whose bound is not below it', () => {
  const histogram = new Histogram([0.1, 1, 5])
  for (const value of [0.1, 0.2, 1, 5.5, 0]) histogram.observe(value)
  assert.deepEqual(
    histogram.samples({ a: 'b' }).map(({ suffix, labels, value }) => [suffix, labels?.le, value]),
    [
      ['_bucket', '0.1', 2],
      ['_bucket', '1', 4],
      ['_bucket', '5', 4],
      ['_bucket', '+Inf', 5],
      ['_sum', undefined, 6.8],
      ['_count', undefined, 5],
    ],
  )
})

test('known values of a label are there with 0 before anything is counted', () => {
  const counts = new Counts('kind', ['x', 'y'])
  counts.add('y', 3)
  counts.add('z')
  assert.deepEqual(counts.samples({ a: 'b' }), [
    { labels: { a: 'b', kind: 'x' }, value: 0 },
    { labels: { a: 'b', kind: 'y' }, value: 3 },
    { labels: { a: 'b', kind: 'z' }, value: 1 },
  ])
})

test('the reader of the tests refuses what a scraper would', () => {
  const head = '# HELP a x\n# TYPE a counter\n'
  for (const text of [
    'a_total 1\n',
    '# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total 2\n',
    '# HELP a_total x\n# TYPE a_total counter\na_total{b="x"y"} 1\n',
    '# HELP a_total x\n# TYPE a_total counter\na_total 1',
    `${head}a 1\n`,
    '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
  ]) {
    assert.throws(() => readExposition(text), assert.AssertionError, text)
  }
})
