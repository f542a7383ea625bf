import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import { type ErrorCode, errorCatalogue } from '../../src/errors.ts'
import { createRateLimiter } from '../../src/limits/rate-limiter.ts'
import { assertError, assertTask, type Problem } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp, testSecret } from '../support/app.ts'
import { sendRequest } from '../support/raw-http.ts'

const service = await startApp()

/** Nothing becomes free while the tests run. */
const windowS = 36_000
const limited = await startApp({
  limits: {
    user: createRateLimiter({ name: 'user', requests: 1, windowS }),
    failedTokens: createRateLimiter({ name: 'address', requests: 1, windowS }),
  },
  trustProxy: ['loopback'],
})

/** What can be wrong with one request, in the order in which the contract has it checked. */
const faults = [
  'no token',
  "another user's path",
  'unknown route',
  'wrong method',
  'content type',
  'too large',
  'unreadable body',
  'invalid',
  'no such task',
  'precondition',
] as const
type Fault = (typeof faults)[number]

const expected: Readonly<
  Record<Fault, { readonly code: ErrorCode; readonly problems?: readonly Problem[] }>
> = {
  'no token': { code: 'TOKEN_MISSING' },
  "another user's path": { code: 'FORBIDDEN' },
  'unknown route': { code: 'ROUTE_NOT_FOUND' },
  'wrong method': { code: 'METHOD_NOT_ALLOWED' },
  'content type': { code: 'UNSUPPORTED_MEDIA_TYPE' },
  'too large': { code: 'BODY_TOO_LARGE' },
  'unreadable body': { code: 'INVALID_JSON', problems: [['', 'json']] },
  invalid: { code: 'VALIDATION_FAILED', problems: [['query/unknown', 'additionalProperties']] },
  'no such task': { code: 'TASK_NOT_FOUND' },
  precondition: { code: 'PRECONDITION_FAILED', problems: [['headers/if-match', 'mismatch']] },
}

/** Sends a PUT of a task with all these faults. A body that is too large is announced and not sent. */
async function sendFaulty(user: Client, ...present: readonly Fault[]): Promise<Answer> {
  const has = (fault: Fault) => present.includes(fault)
  const task = await makeTask(user)
  const owner = has("another user's path") ? newUser() : 'me'
  const id = has('no such task') ? randomUUID() : task.id
  const path = `/api/${owner}/tasks/${id}${has('unknown route') ? '/nothing' : ''}${has('invalid') ? '?unknown=1' : ''}`
  const body = has('too large') ? '' : `{"title":"New"${has('unreadable body') ? '' : '}'}`
  return sendRequest(
    service.url,
    [
      `${has('wrong method') ? 'POST' : 'PUT'} ${path} HTTP/1.1`,
      ...(has('no token') ? [] : [`Authorization: Bearer ${user.token}`]),
      `Content-Type: ${has('content type') ? 'text/plain' : 'application/json'}`,
      `Content-Length: ${has('too large') ? 1_048_577 : body.length}`,
      ...(has('precondition') ? ['If-Match: "999999"'] : []),
    ],
    body,
  )
}

function assertFault(answer: Answer, fault: Fault): void {
  const { code, problems = [] } = expected[fault]
  assertError(answer, errorCatalogue[code].status, code, problems)
}

test('the request without faults is answered 200', async () => {
  assertTask(await sendFaulty(service.as(newUser())), 200, { title: 'New' })
})

for (const [index, first] of faults.entries()) {
  test(`${first}: alone it is answered ${expected[first].code}, and so it is with any fault that comes after it`, async () => {
    const user = service.as(newUser())
    assertFault(await sendFaulty(user, first), first)
    for (const second of faults.slice(index + 1)) {
      // A path that no route has cannot have a method that it lacks.
      if (first === 'unknown route' && second === 'wrong method') continue
      assertFault(await sendFaulty(user, second, first), first)
    }
    assertFault(
      await sendFaulty(
        user,
        ...faults.slice(index).filter((each) => each !== 'unknown route' || each === first),
      ),
      first,
    )
  })
}

test('a cursor comes after token, path, method and validation', async () => {
  const user = service.as(newUser())
  assertError(await user.get('/api/me/tasks?cursor=damaged'), 400, 'INVALID_CURSOR')
  assertError(await service.anonymous().get('/api/me/tasks?cursor=damaged'), 401, 'TOKEN_MISSING')
  assertError(await user.get('/api/other/tasks?cursor=damaged'), 403, 'FORBIDDEN')
  assertError(await user.delete('/api/me/tasks?cursor=damaged'), 405, 'METHOD_NOT_ALLOWED')
  assertError(await user.get('/api/me/tasks?cursor=damaged&limit=0'), 422, 'VALIDATION_FAILED', [
    ['query/limit', 'minimum'],
  ])
})

test('a conflict comes after everything else that a creation can have wrong', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user, { title: 'First' })
  const body = { id, title: 'Second' }
  assertError(await user.post('/api/me/tasks', body), 409, 'TASK_EXISTS')
  assertError(await service.anonymous().post('/api/me/tasks', body), 401, 'TOKEN_MISSING')
  assertError(await user.post('/api/other/tasks', body), 403, 'FORBIDDEN')
  assertError(await user.post('/api/me/task', body), 404, 'ROUTE_NOT_FOUND')
  assertError(await user.put('/api/me/tasks', body), 405, 'METHOD_NOT_ALLOWED')
  assertError(
    await user.post('/api/me/tasks', body, { 'content-type': 'text/json' }),
    415,
    'UNSUPPORTED_MEDIA_TYPE',
  )
  assertError(await user.post('/api/me/tasks?x', body), 422, 'VALIDATION_FAILED', [
    ['query/x', 'additionalProperties'],
  ])
})

test('a malformed URL comes after the token and the path, and before everything else', async () => {
  const user = service.as(newUser())
  for (const path of ['/api/me/tasks?%zz', '/api/me/tasks/%', '/api/me/nothing/%ff', '/api/me/tasks?x=%00']) {
    assertError(await service.anonymous().get(path), 401, 'TOKEN_MISSING')
    assertError(await user.get(path.replace('/me/', '/other/')), 403, 'FORBIDDEN')
    const answer = await user.request('POST', path, { raw: '{', headers: { 'content-type': 'text/plain' } })
    assertError(answer, 400, 'INVALID_URL')
  }
})

test('a malformed URL under another spelling of /api needs a token first, too', async () => {
  const user = service.as(newUser())
  for (const path of ['/%61pi/me/tasks?%zz', '/%61pi/me/tasks/%00', '/%61pi/me/tasks/%zz']) {
    assertError(await service.anonymous().get(path), 401, 'TOKEN_MISSING')
    assertError(await user.get(path.replace('/me/', '/other/')), 403, 'FORBIDDEN')
    assertError(await user.get(path), 400, 'INVALID_URL')
  }
})

test('a token that is missing, expired or damaged is told before the path, with its challenge', async () => {
  const { userId, token } = service.as(newUser())
  const expired = signToken({ secret: testSecret, userId, expiresInS: -60 })
  const realm = 'Bearer realm="backend-core"'
  const cases = [
    [undefined, 'TOKEN_MISSING', realm],
    ['Bearer ', 'TOKEN_MISSING', realm],
    [`Basic ${token}`, 'TOKEN_MISSING', realm],
    [token, 'TOKEN_MISSING', realm],
    [`Bearer ${expired}`, 'TOKEN_EXPIRED', `${realm}, error="invalid_token"`],
    [`Bearer ${token}x`, 'TOKEN_INVALID', `${realm}, error="invalid_token"`],
    [`Bearer ${token.slice(0, -2)}`, 'TOKEN_INVALID', `${realm}, error="invalid_token"`],
    [`Bearer ${token} ${token}`, 'TOKEN_INVALID', `${realm}, error="invalid_token"`],
  ] as const
  for (const [authorization, code, challenge] of cases) {
    for (const path of ['/api/me/tasks', '/api/other/nothing', '/api', '/api/me/tasks?%']) {
      const answer = await service.anonymous(authorization).get(path)
      assertError(answer, 401, code)
      assert.equal(answer.headers.get('www-authenticate'), challenge)
    }
  }
})

test('the body of a refused request need not be sent, and the connection can be used again', async () => {
  const user = service.as(newUser())
  const body = JSON.stringify({ title: 'x'.repeat(900_000) })
  const headers = { 'content-type': 'application/json' }
  for (let n = 0; n < 3; n++) {
    assertError(
      await service.anonymous().request('POST', '/api/me/tasks', { raw: body, headers }),
      401,
      'TOKEN_MISSING',
    )
    assertError(await user.request('POST', '/api/other/tasks', { raw: body, headers }), 403, 'FORBIDDEN')
    assertError(await user.request('POST', '/api/me/nothing', { raw: body, headers }), 404, 'ROUTE_NOT_FOUND')
    assertError(
      await user.request('POST', '/api/me/tasks', { raw: body, headers: { 'content-type': 'text/plain' } }),
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    )
  }
})

/** Requests with everything wrong that comes after the token, each answered with the first of it. */
const laterFaults: readonly (readonly [method: string, path: string, type: string])[] = [
  ['GET', '/api/someone-else/tasks', 'application/json'],
  ['GET', '/api/me/nothing', 'application/json'],
  ['DELETE', '/api/me/tasks', 'application/json'],
  ['GET', '/api/me/tasks/%', 'application/json'],
  ['POST', '/api/me/tasks', 'text/plain'],
  ['POST', '/api/me/tasks', 'application/json'],
  ['GET', '/api/me/tasks?limit=0', 'application/json'],
  ['GET', '/api', 'application/json'],
]

async function assertAllLimited(authorization: string | undefined, address: string): Promise<void> {
  const client = limited.anonymous(authorization)
  for (const [method, path, type] of laterFaults) {
    const headers = { 'content-type': type, 'x-forwarded-for': address }
    const options = method === 'POST' ? { raw: '{', headers } : { headers }
    assertError(await client.request(method, path, options), 429, 'RATE_LIMITED')
  }
}

test('the limit of the address comes before the token and everything after it', async () => {
  const address = '203.0.113.1'
  const first = limited.anonymous('Bearer x').get('/api/me/tasks', { 'x-forwarded-for': address })
  assertError(await first, 401, 'TOKEN_INVALID')
  const { token } = limited.as(newUser())
  const expired = signToken({ secret: testSecret, userId: newUser(), expiresInS: -60 })
  for (const authorization of [undefined, 'Bearer x', `Bearer ${expired}`, `Bearer ${token}`]) {
    await assertAllLimited(authorization, address)
  }
})

test('the limit of the user comes after the token, and before the path and everything after it', async () => {
  const user = limited.as(newUser())
  assert.equal((await user.get('/api/me/tasks')).status, 200)
  await assertAllLimited(`Bearer ${user.token}`, '203.0.113.2')
  const damaged = limited.anonymous(`Bearer ${user.token}x`)
  const answer = await damaged.get('/api/me/tasks', { 'x-forwarded-for': '203.0.113.2' })
  assertError(answer, 401, 'TOKEN_INVALID')
})
