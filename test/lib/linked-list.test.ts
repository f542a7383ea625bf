import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LinkedList, type ListNode } from '../../src/lib/linked-list.ts'

/** What is done to a list: a value added, the first taken out, or the value taken out that was added so many ago. */
const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('append' as const) }),
    fc.record({ do: fc.constant('shift' as const) }),
    fc.record({ do: fc.constant('remove' as const), ago: fc.nat(12) }),
  ),
  { maxLength: 80 },
)

test('values are in the order in which they were added, whatever was taken out in between', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const list = new LinkedList<number>()
      const nodes: ListNode<number>[] = []
      let expected: number[] = []
      for (const step of all) {
        if (step.do === 'append') {
          expected.push(nodes.length)
          nodes.push(list.append(nodes.length))
        } else if (step.do === 'shift') {
          assert.equal(list.shift(), expected.shift())
        } else {
          const node = nodes[nodes.length - 1 - step.ago]
          if (node === undefined) continue
          assert.equal(list.remove(node), expected.includes(node.value))
          expected = expected.filter((value) => value !== node.value)
        }
        assert.deepEqual([...list], expected)
        assert.deepEqual([list.first, list.size], [expected[0], expected.length])
        const middle = expected[expected.length >> 1]
        assert.equal(list.find((value) => value === middle)?.value, middle)
      }
    }),
  )
})

test('the value that is being looked at may be taken out', () => {
  const list = new LinkedList<ListNode<unknown>[]>()
  for (let count = 0; count < 3; count++) {
    const own: ListNode<unknown>[] = []
    own.push(list.append(own))
  }
  let seen = 0
  for (const own of list) {
    seen++
    for (const node of own) list.remove(node as ListNode<ListNode<unknown>[]>)
  }
  assert.deepEqual([seen, list.size], [3, 0])
})
