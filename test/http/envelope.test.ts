import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { timeForm, uuidV7Form } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'
import { sendRequest } from '../support/raw-http.ts'

const service = await startApp()

for (const id of ['a', '0', '-', '._-', 'A.b_c-9', randomUUID(), 'x'.repeat(128)]) {
  test(`the request id ${id.slice(0, 40)} of the caller is echoed, on errors too`, async () => {
    const user = service.as(newUser())
    const headers = { 'x-request-id': id }
    const answers = [
      await user.get('/health', headers),
      await user.get('/api/me/tasks', headers),
      await user.get(`/api/me/tasks/${randomUUID()}`, headers),
      await user.get('/api/me/tasks?limit=0', headers),
      await user.get('/api/me/tasks?%', headers),
      await user.get('/api/other/tasks', headers),
      await user.get('/nothing', headers),
      await user.put('/api/me/tasks', {}, headers),
      await service.anonymous().get('/api/me/tasks', headers),
      await user.request('POST', '/api/me/tasks', {
        raw: '{',
        headers: { ...headers, 'content-type': 'application/json' },
      }),
      await user.request('POST', '/api/me/tasks', {
        raw: 'x',
        headers: { ...headers, 'content-type': 'text/plain' },
      }),
    ]
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 404, 422, 400, 403, 404, 405, 401, 400, 415],
    )
    for (const answer of answers) {
      assert.equal(answer.headers.get('x-request-id'), id)
      assert.equal(answer.body.meta.request_id, id)
    }
  })
}

for (const id of ['', ' ', 'a b', 'a/b', 'a:b', 'a,b', '"a"', '\u00e9', 'x'.repeat(129), '$(id)', 'a\tb']) {
  test(`the request id ${JSON.stringify(id.slice(0, 40))} is replaced by a new UUIDv7, on errors too`, async () => {
    const user = service.as(newUser())
    const ids = []
    for (const path of ['/health', '/api/me/tasks', '/nothing', '/api/other/tasks']) {
      const answer = await user.get(path, { 'x-request-id': id })
      assert.match(answer.body.meta.request_id, uuidV7Form)
      assert.equal(answer.headers.get('x-request-id'), answer.body.meta.request_id)
      ids.push(answer.body.meta.request_id)
    }
    assert.equal(new Set(ids).size, ids.length)
  })
}

test('two request ids are none', async () => {
  const answer = await sendRequest(service.url, [
    'GET /health HTTP/1.1',
    'X-Request-Id: a',
    'X-Request-Id: b',
  ])
  assert.match(answer.body.meta.request_id, uuidV7Form)
})

test('/health and /ready answer in the envelope, without a token and to HEAD', async () => {
  for (const path of ['/health', '/ready']) {
    const answer = await service.anonymous().get(path)
    assert.equal(answer.status, 200)
    const { meta, ...rest } = answer.body
    assert.deepEqual(rest, { status: 'success', data: {} })
    assert.deepEqual(Object.keys(meta).sort(), ['request_id', 'timestamp'])
    assert.match(meta.timestamp, timeForm)
    const head = await service.anonymous().request('HEAD', path)
    assert.deepEqual([head.status, head.text], [200, ''])
  }
})
