import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTraceparent } from '../../src/lib/trace-context.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const parentId = 'b7ad6b7169203331'

test('a valid traceparent gives its trace and its parent', () => {
  for (const header of [
    `00-${traceId}-${parentId}-01`,
    `00-${traceId}-${parentId}-00`,
    `00-${traceId}-${parentId}-ff`,
    `01-${traceId}-${parentId}-01`,
    `cc-${traceId}-${parentId}-01-what-the-future-brings`,
    `fe-${traceId}-${parentId}-01-`,
  ]) {
    assert.deepEqual(readTraceparent(header), { traceId, parentId }, header)
  }
})

test('one that is not valid is ignored', () => {
  for (const header of [
    undefined,
    '',
    '00',
    `00-${traceId}-${parentId}`,
    `00-${traceId}-${parentId}-1`,
    `00-${traceId}-${parentId}-01-more`,
    `00-${traceId}-${parentId}-01-`,
    `00-${traceId}-${parentId}-01, 00-${traceId}-${parentId}-01`,
    ` 00-${traceId}-${parentId}-01`,
    `00-${traceId}-${parentId}-01\n`,
    `ff-${traceId}-${parentId}-01`,
    `0g-${traceId}-${parentId}-01`,
    `01-${traceId}-${parentId}-01.more`,
    `01-${traceId}-${parentId}-010`,
    `00-${traceId.toUpperCase()}-${parentId}-01`,
    `00-${traceId}-${parentId.toUpperCase()}-01`,
    `00-${'0'.repeat(32)}-${parentId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId}0-${parentId}-01`,
    `00-${traceId.slice(1)}-${parentId}-01`,
    `00-${traceId}-${parentId}-0x`,
    [`00-${traceId}-${parentId}-01`],
  ]) {
    assert.equal(readTraceparent(header), undefined, String(header))
  }
})
