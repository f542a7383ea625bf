import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError, logLinesOf } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'

const service = await startApp()
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const traceparent = `00-${traceId}-${parentId}-01`

test("every line of a request has its caller's trace, also when it is refused or fails", async () => {
  const user = service.as(newUser())
  const ended = service.as(newUser())
  const answers = [
    await user.get('/api/me/tasks', { traceparent, tracestate: 'vendor=value' }),
    await user.get('/api/me/nothing', { traceparent }),
    await service.anonymous('Bearer x').get('/api/me/tasks', { traceparent }),
    await ended.get('/%', { traceparent }),
  ]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 404, 401, 400],
  )
  for (const answer of answers) {
    const lines = await logLinesOf(service, String(answer.headers.get('x-request-id')))
    assert.ok(lines.length > 0)
    for (const line of lines) assert.deepEqual([line.trace_id, line.parent_id], [traceId, parentId])
    assert.equal(answer.headers.get('traceparent'), null)
  }
})

test('a trace context that is missing or not valid changes nothing but that no line has it', async () => {
  const user = service.as(newUser())
  for (const headers of [{}, { traceparent: 'x' }, { traceparent: `00-${'0'.repeat(32)}-${parentId}-01` }]) {
    const answer = await user.get('/api/me/tasks/0198f2c5-0000-7000-8000-000000000000', headers)
    assertError(answer, 404, 'TASK_NOT_FOUND')
    const lines = await logLinesOf(service, String(answer.headers.get('x-request-id')))
    assert.ok(lines.length > 0)
    for (const line of lines) assert.ok(!('trace_id' in line) && !('parent_id' in line))
  }
})
