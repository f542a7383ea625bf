import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { assertError, assertPage, assertTask, logLinesOf } from '../support/answers.ts'
import { type Answer, type Client, newUser, startApp, testSecret } from '../support/app.ts'
import { sendRequest } from '../support/raw-http.ts'
import { assertReplay, isReplay, newKey } from './kept-answers.ts'

const service = await startApp()
const { query } = service.testDatabase

async function keysOf({ userId }: Client): Promise<number> {
  return (await query('select from app.idempotency_keys where user_id = $1', [userId])).length
}

const json = { 'content-type': 'application/json' }
const task = { title: 'x' }

type Refused = (user: Client, key: Record<string, string>) => Promise<Answer>

/** Requests that were not understood, each with the key of a good request that follows. */
const refused: Readonly<Record<string, readonly [status: number, code: ErrorCode, send: Refused]>> = {
  'JSON that cannot be read': [
    400,
    'INVALID_JSON',
    (user, key) => user.request('POST', '/api/me/tasks', { raw: '{', headers: { ...json, ...key } }),
  ],
  'a URL that cannot be read': [
    400,
    'INVALID_URL',
    (user, key) => user.request('POST', '/api/me/tasks?%', { json: task, headers: key }),
  ],
  'no token': [401, 'TOKEN_MISSING', (_, key) => service.anonymous().post('/api/me/tasks', task, key)],
  'an expired token': [
    401,
    'TOKEN_EXPIRED',
    ({ userId }, key) => {
      const token = signToken({ secret: testSecret, userId, nowMs: 1_000_000_000_000 })
      return service.anonymous(`Bearer ${token}`).post('/api/me/tasks', task, key)
    },
  ],
  "another user's path": [403, 'FORBIDDEN', (user, key) => user.post(`/api/${newUser()}/tasks`, task, key)],
  'a path that no route has': [404, 'ROUTE_NOT_FOUND', (user, key) => user.post('/api/me/task', task, key)],
  'another method': [405, 'METHOD_NOT_ALLOWED', (user, key) => user.patch('/api/me/tasks', task, key)],
  'a body that is too large': [
    413,
    'BODY_TOO_LARGE',
    (user, { 'idempotency-key': key }) =>
      sendRequest(service.url, [
        'POST /api/me/tasks HTTP/1.1',
        `Authorization: Bearer ${user.token}`,
        'Content-Type: application/json',
        'Content-Length: 1048577',
        `Idempotency-Key: ${key}`,
      ]),
  ],
  'a body of another type': [
    415,
    'UNSUPPORTED_MEDIA_TYPE',
    (user, key) =>
      user.request('POST', '/api/me/tasks', { raw: 'x', headers: { 'content-type': 'text/plain', ...key } }),
  ],
}

for (const [name, [status, code, send]] of Object.entries(refused)) {
  test(`${name} (${status}) is not kept: the key is free for the request that is meant`, async () => {
    const user = service.as(newUser())
    const key = newKey()
    for (let time = 0; time < 2; time++) {
      const answer = await send(user, key)
      assert.deepEqual([answer.status, answer.body.error.code, isReplay(answer)], [status, code, false])
    }
    assert.equal(await keysOf(user), 0)
    const first = await user.post('/api/me/tasks', task, key)
    assert.ok(!isReplay(first))
    assertTask(first, 201)
    // Nor does it show the kept answer.
    const later = await send(user, key)
    assert.deepEqual([later.status, later.body.error.code, isReplay(later)], [status, code, false])
  })
}

/** Makes the database refuse what a user writes to a table, with a SQLSTATE, until the returned function is called. */
async function refuseWrites(table: string, userId: string, sqlState: string): Promise<() => Promise<void>> {
  const name = `refuse_${randomUUID().replaceAll('-', '')}`
  await query(`
    create function public.${name}() returns trigger language plpgsql as
    $$ begin if new.user_id = '${userId}' then raise exception 'refused' using errcode = '${sqlState}'; end if; return new; end $$`)
  await query(
    `create trigger ${name} before insert or update on app.${table} for each row execute function public.${name}()`,
  )
  return async () => {
    await query(`drop function public.${name}() cascade`)
  }
}

for (const [table, what] of [
  ['tasks', 'the write'],
  ['idempotency_keys', 'keeping the answer'],
] as const) {
  for (const [sqlState, status, code] of [
    ['XX000', 500, 'INTERNAL_ERROR'],
    ['53100', 503, 'DATABASE_UNAVAILABLE'],
  ] as const) {
    test(`when ${what} fails (${status}) nothing is written or kept, and the retry does it`, async () => {
      const user = service.as(newUser())
      const key = newKey()
      const mend = await refuseWrites(table, user.userId, sqlState)
      for (let time = 0; time < 2; time++) {
        const answer = await user.post('/api/me/tasks', task, key)
        assertError(answer, status, code)
        assert.ok(!isReplay(answer))
      }
      assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
      assert.equal(await keysOf(user), 0)
      await mend()
      const first = await user.post('/api/me/tasks', task, key)
      assertTask(first, 201, { version: 1 })
      assert.ok(!isReplay(first))
      assertReplay(await user.post('/api/me/tasks', task, key), first)
    })
  }
}

test('when an error cannot be kept, it is not answered either', async () => {
  const user = service.as(newUser())
  const mend = await refuseWrites('idempotency_keys', user.userId, 'XX000')
  const path = `/api/me/tasks/${randomUUID()}`
  for (const [send, status, code] of [
    [(key: Record<string, string>) => user.patch(path, {}, key), 404, 'TASK_NOT_FOUND'],
    [(key: Record<string, string>) => user.post('/api/me/tasks', {}, key), 422, 'VALIDATION_FAILED'],
  ] as const) {
    const failed = await send(newKey())
    assertError(failed, 500, 'INTERNAL_ERROR')
    const lines = await logLinesOf(service, failed.headers.get('x-request-id'))
    assert.ok(lines.some(({ msg }) => msg === 'request failed'))
    assert.deepEqual([(await send({})).status, (await send({})).body.error.code], [status, code])
  }
  await mend()
})

test('a refusal of a reused key is not kept: the first request keeps its answer, the other one gets none', async () => {
  const user = service.as(newUser())
  const key = newKey()
  const first = await user.post('/api/me/tasks', task, key)
  for (let time = 0; time < 3; time++) {
    const answer = await user.post('/api/me/tasks', { title: 'y' }, key)
    assertError(answer, 422, 'IDEMPOTENCY_KEY_REUSED')
    assert.ok(!isReplay(answer))
  }
  assertReplay(await user.post('/api/me/tasks', task, key), first)
  assert.equal(await keysOf(user), 1)
})
