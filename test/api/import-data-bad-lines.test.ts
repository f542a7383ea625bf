import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Answer, newUser, startApp } from '../support/app.ts'
import { assertReport, exportTasks, fullLine, importLines, storedOf } from './transfers.ts'

const service = await startApp()

/** Where problems are: the number of the line, the path, the code. */
type BadLine = readonly [line: number, path: string, code: string]

function assertBadLines(answer: Answer, expected: readonly BadLine[]): void {
  assert.equal(answer.status, 422, answer.text)
  assert.equal(answer.body.error.code, 'VALIDATION_FAILED')
  const found = answer.body.error.details.map(
    (each: { line: number; path: string; code: string; message: string }) => {
      assert.ok(each.message.length > 0)
      return [each.line, each.path, each.code]
    },
  )
  assert.deepEqual(found, expected)
}

const text = (line: object) => JSON.stringify(line)
const time = '2026-01-01T00:00:00.000Z'

/** A line, and the path and code of each of its problems. */
const badLines: Readonly<
  Record<string, readonly [string | Buffer, ...(readonly [path: string, code: string])[]]>
> = {
  'no JSON': ['{"title":', ['', 'json']],
  'two texts in one line': ['{"title":"a"}{"title":"b"}', ['', 'json']],
  'an array': ['[{"title":"a"}]', ['', 'json']],
  'a string': ['"title"', ['', 'json']],
  'bytes that are not UTF-8': [Buffer.from('{"title":"\xff"}', 'latin1'), ['', 'json']],
  'a byte order mark': ['\uFEFF{"title":"a"}', ['', 'json']],
  'a field twice': ['{"title":"a","title":"b"}', ['', 'json']],
  'a field twice, once escaped': ['{"title":"a","titl\\u0065":"b"}', ['', 'json']],
  'an unknown field': [text({ title: 'a', done: true }), ['/done', 'additionalProperties']],
  'a field of every object': ['{"title":"a","__proto__":{}}', ['/__proto__', 'additionalProperties']],
  'no title': [text({}), ['/title', 'required']],
  'a blank title': [text({ title: ' ' }), ['/title', 'minLength']],
  'a title that is too long': [text({ title: 'x'.repeat(256) }), ['/title', 'maxLength']],
  'a title with NUL': [text({ title: 'a\0' }), ['/title', 'pattern']],
  'a lone surrogate': ['{"title":"\\ud800"}', ['/title', 'pattern']],
  'a description that is too long': [
    text({ title: 'a', description: 'x'.repeat(10_001) }),
    ['/description', 'maxLength'],
  ],
  'a completed that is a string': [text({ title: 'a', completed: 'true' }), ['/completed', 'type']],
  'an id that is no UUID': [text({ title: 'a', id: 'x' }), ['/id', 'format']],
  'an id that is null': [text({ title: 'a', id: null }), ['/id', 'type']],
  'a created_at that is null': [text({ title: 'a', created_at: null }), ['/created_at', 'type']],
  'a time that is a number': [text({ title: 'a', updated_at: 1 }), ['/updated_at', 'type']],
  'a day that does not exist': [
    text({ title: 'a', created_at: '2026-02-30T00:00:00Z' }),
    ['/created_at', 'format'],
  ],
  'a time without an offset': [
    text({ title: 'a', created_at: '2026-02-03T00:00:00' }),
    ['/created_at', 'format'],
  ],
  'a time with microseconds': [
    text({ title: 'a', created_at: '2026-02-03T00:00:00.000001Z' }),
    ['/created_at', 'format'],
  ],
  'a leap second': [text({ title: 'a', created_at: '2016-12-31T23:59:60Z' }), ['/created_at', 'format']],
  'a year 0': [text({ title: 'a', created_at: '0000-12-31T00:00:00Z' }), ['/created_at', 'format']],
  'a year 9999': [text({ title: 'a', updated_at: '9999-01-01T00:00:00Z' }), ['/updated_at', 'format']],
  'a deleted_at that is no time': [text({ title: 'a', deleted_at: 'yes' }), ['/deleted_at', 'format']],
  'completed_at of a task that is not completed': [
    text({ title: 'a', completed: false, completed_at: time }),
    ['/completed_at', 'inconsistent'],
  ],
  'completed_at without completed': [
    text({ title: 'a', completed_at: time }),
    ['/completed_at', 'inconsistent'],
  ],
  'a completed task whose completed_at is null': [
    text({ title: 'a', completed: true, completed_at: null }),
    ['/completed_at', 'inconsistent'],
  ],
  'a line that is too long': [text({ title: 'a', user_id: 'x'.repeat(131_072) }), ['', 'maxLength']],
  'several problems': [
    text({ title: '', completed: 1, x: 1 }),
    ['/x', 'additionalProperties'],
    ['/title', 'minLength'],
    ['/completed', 'type'],
  ],
}

for (const [what, [line, ...problems]] of Object.entries(badLines)) {
  test(`${what}: the line is named and nothing is written`, async () => {
    const user = service.as(newUser())
    const answer = await importLines(user, [fullLine(), '', line, fullLine()])
    assertBadLines(
      answer,
      problems.map(([path, code]) => [3, path, code]),
    )
    assert.deepEqual(await storedOf(service, user), [])
  })
}

test('every bad line is named, after the first too, and what was there stays', async () => {
  const user = service.as(newUser())
  const line = fullLine()
  await importLines(user, [line])
  const before = await storedOf(service, user)
  const lines = [{ ...line, title: 'x' }, 'x', {}, fullLine(), { ...line, id: 1 }]
  for (const query of ['', '?dry_run=true']) {
    assertBadLines(await importLines(user, lines, { query }), [
      [2, '', 'json'],
      [3, '/title', 'required'],
      [5, '/id', 'type'],
    ])
  }
  assert.deepEqual(await storedOf(service, user), before)
})

test('a bad line behind thousands of good ones writes none of them', async () => {
  const user = service.as(newUser())
  const lines = Array.from({ length: 3_000 }, () => ({ title: 'x' }))
  assertBadLines(await importLines(user, [...lines, '{']), [[3_001, '', 'json']])
  assert.deepEqual(await storedOf(service, user), [])
})

test('of more than 100 problems the first 100 are named', async () => {
  const user = service.as(newUser())
  const answer = await importLines(
    user,
    Array.from({ length: 250 }, () => '{'),
  )
  assertBadLines(
    answer,
    Array.from({ length: 100 }, (_, n) => [n + 1, '', 'json']),
  )
})

test('more than 300,000 lines are refused, naming the first that is too many', async () => {
  const user = service.as(newUser())
  const answer = await importLines(user, [`{"title":"x"}\n`.repeat(300_001).trimEnd()])
  assertBadLines(answer, [[300_001, '', 'maxItems']])
  assert.deepEqual(await storedOf(service, user), [])
})

test('the longest task fits into a line, however its text is escaped', async () => {
  const user = service.as(newUser())
  const line = fullLine({ title: '𝄞'.repeat(255), description: '𝄞'.repeat(10_000), user_id: '𝄞'.repeat(255) })
  const escaped = JSON.stringify(line).replaceAll('𝄞', '\\ud834\\udd1e')
  assertReport(await importLines(user, [escaped]), [1, 0, 0])
  assertReport(await importLines(user, [line]), [0, 0, 1])
})

test('whatever else stands in a line, the answer is a report or names the line', async () => {
  const user = service.as(newUser())
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.json(),
        fc.string(),
        fc
          .dictionary(
            fc.constantFrom('id', 'title', 'completed', 'created_at', 'completed_at'),
            fc.jsonValue(),
          )
          .map((each) => JSON.stringify(each)),
      ),
      async (line) => {
        const single = line.replaceAll(/[\n]/g, ' ')
        const answer = await importLines(user, [single, { id: randomUUID(), title: 'x' }], {
          query: '?dry_run=true',
        })
        if (answer.status === 200) return
        assert.equal(answer.status, 422, answer.text)
        for (const { line } of answer.body.error.details) assert.equal(line, 1)
      },
    ),
    { numRuns: 200 },
  )
  assert.deepEqual(await exportTasks(user), [])
})
