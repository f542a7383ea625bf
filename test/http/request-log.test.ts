import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logLinesOf, timeForm } from '../support/answers.ts'
import { makeTask, newUser, startApp, testSecret } from '../support/app.ts'
import { requestBytes, sendRaw, sendRequest } from '../support/raw-http.ts'

const service = await startApp()

test('the log has one line a request, with its id, method, route, user, status, code and duration', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const route = '/api/:user_id/tasks/:task_id'
  const cases = [
    [await user.get(`/api/me/tasks/${id}?`), 'GET', route, user.userId, 200, undefined],
    [await user.request('HEAD', `/api/me/tasks/${id}`), 'HEAD', route, user.userId, 200, undefined],
    [
      await user.get(`/api/me/tasks/${id}`, { 'if-none-match': '*' }),
      'GET',
      route,
      user.userId,
      304,
      undefined,
    ],
    [
      await user.patch(`/api/me/tasks/${id}/complete`),
      'PATCH',
      `${route}/complete`,
      user.userId,
      200,
      undefined,
    ],
    [await user.put(`/api/me/tasks/${id}`, {}), 'PUT', route, user.userId, 422, 'VALIDATION_FAILED'],
    [await user.delete(`/api/other/tasks/${id}`), 'DELETE', route, user.userId, 403, 'FORBIDDEN'],
    [await user.get('/api/me/nothing'), 'GET', null, user.userId, 404, 'ROUTE_NOT_FOUND'],
    [await user.get('/api/me/tasks/%'), 'GET', null, user.userId, 400, 'INVALID_URL'],
    [await user.delete('/api/me/tasks'), 'DELETE', null, user.userId, 405, 'METHOD_NOT_ALLOWED'],
    [
      await service.anonymous().get('/api/me/tasks'),
      'GET',
      '/api/:user_id/tasks',
      null,
      401,
      'TOKEN_MISSING',
    ],
    [await service.anonymous().get('/health'), 'GET', '/health', null, 200, undefined],
  ] as const
  for (const [answer, method, pattern, userId, status, code] of cases) {
    assert.equal(answer.status, status)
    const requestId = answer.headers.get('x-request-id')
    const lines = (await logLinesOf(service, requestId)).filter(({ msg }) => msg === 'request')
    assert.equal(lines.length, 1)
    const { time, level, msg: _, duration_ms: duration, ...line } = lines[0] ?? {}
    assert.deepEqual(line, {
      request_id: requestId,
      method,
      route: pattern,
      user_id: userId,
      client_address: '127.0.0.1',
      status,
      ...(code !== undefined && { code }),
    })
    assert.match(String(time), timeForm)
    assert.equal(level, 30)
    assert.ok(typeof duration === 'number' && duration > 0 && duration < 60_000)
  }
})

test('no log line holds a token, the secret, a body or what stands in a query', async () => {
  const marker = newUser()
  const user = service.as(newUser())
  const answers = [
    await user.post('/api/me/tasks', { title: `${marker} title`, description: `${marker} text` }),
    await user.post('/api/me/tasks', { title: `${marker} title`, [`${marker}field`]: `${marker} value` }),
    await user.post('/api/me/tasks', { title: `${marker}`.repeat(20) }),
    await user.request('POST', '/api/me/tasks', {
      raw: `{"title":"${marker}`,
      headers: { 'content-type': 'application/json' },
    }),
    await user.get(`/api/me/tasks?q=${marker}&access_token=${marker}`),
    await user.get(`/api/me/tasks/${marker}`, { cookie: marker, 'if-none-match': marker }),
    await service.anonymous(`Bearer ${marker}.${marker}.${marker}`).get('/api/me/tasks'),
    await service.anonymous(`Bearer ${user.token}${marker}`).get('/api/me/tasks'),
    await service.anonymous(`Basic ${marker}`).get('/api/me/tasks'),
    await sendRequest(service.url, ['GET /health HTTP/1.1', `${marker}\0: ${marker}`]),
    await sendRequest(service.url, [
      `GET /api/me/${marker}\u00ff HTTP/1.1`,
      `Authorization: Bearer ${user.token}`,
    ]),
  ]
  for (const answer of answers) await logLinesOf(service, answer.headers.get('x-request-id'))
  const log = JSON.stringify(service.logs)
  const [, payload = '', signature = ''] = user.token.split('.')
  for (const secret of [marker, testSecret, user.token, payload, signature]) {
    assert.ok(!log.includes(secret), `the log holds ${secret}`)
  }
})

const leavings: readonly (readonly [name: string, length: number, afterwards: 'half-close' | 'cut'])[] = [
  ['ends its side within the body', 100, 'half-close'],
  ['is gone within the body', 100, 'cut'],
  ['is gone before the answer', 13, 'cut'],
]
for (const [name, length, afterwards] of leavings) {
  test(`a request whose client ${name} has its log line, too`, async () => {
    const { token, userId } = service.as(newUser())
    const id = newUser()
    const lines = [
      'POST /api/me/tasks HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${token}`,
      'Content-Type: application/json',
      `Content-Length: ${length}`,
      `X-Request-Id: ${id}`,
    ]
    await sendRaw(service.url, requestBytes(lines, '{"title":"x"}'), { afterwards })
    const ends = (await logLinesOf(service, id)).filter(({ msg }) => msg === 'request')
    assert.equal(ends.length, 1)
    assert.deepEqual(
      [ends[0]?.method, ends[0]?.route, ends[0]?.user_id],
      ['POST', '/api/:user_id/tasks', userId],
    )
  })
}
