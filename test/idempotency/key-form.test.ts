import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertPage, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { requestBytes, sendRaw, sendRequest } from '../support/raw-http.ts'
import { assertReplay, isReplay } from './kept-answers.ts'

const service = await startApp()
const problem = ['headers/idempotency-key', 'pattern'] as const
const visible = Array.from({ length: 0x7e - 0x20 }, (_, n) => String.fromCharCode(0x21 + n)).join('')

for (const key of [
  'x',
  '0',
  visible,
  visible.slice(0, 47),
  'k'.repeat(255),
  '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
  "'; drop table app.tasks; --",
  '{"a":[1,null]}\\',
  '%00%27$1::text',
  '__proto__',
  'a,b',
].map((key) => key.replaceAll(' ', '_'))) {
  test(`is a key: ${key.slice(0, 60)}`, async () => {
    const user = service.as(newUser())
    const create = () => user.post('/api/me/tasks', { title: 'x' }, { 'idempotency-key': key })
    const first = await create()
    assertTask(first, 201)
    assertReplay(await create(), first)
    const rows = await service.testDatabase.query('select key from app.idempotency_keys where user_id = $1', [
      user.userId,
    ])
    assert.deepEqual(rows, [{ key }])
  })
}

test('a key is the value as it stands: quotes and case make another', async () => {
  const user = service.as(newUser())
  const keys = ['key', 'KEY', '"key"', "'key'", 'key;a=1', 'key,']
  const ids = new Set<string>()
  for (const key of keys) {
    const answer = await user.post('/api/me/tasks', { title: 'x' }, { 'idempotency-key': key })
    ids.add(assertTask(answer, 201).id)
  }
  assert.equal(ids.size, keys.length)
})

/** Header lines that are no key. */
const malformed: Readonly<Record<string, readonly string[]>> = {
  empty: ['Idempotency-Key:'],
  blank: ['Idempotency-Key:   '],
  'too long': [`Idempotency-Key: ${'k'.repeat(256)}`],
  'with a space': ['Idempotency-Key: a b'],
  'with a tab': ['Idempotency-Key: a\tb'],
  'beyond ASCII': ['Idempotency-Key: schl\u00fcssel'],
  'at the end of Latin-1': ['Idempotency-Key: \u00ff'],
  repeated: ['Idempotency-Key: a', 'Idempotency-Key: a'],
  'repeated in another case': ['Idempotency-Key: a', 'IDEMPOTENCY-KEY: b'],
  'repeated, once empty': ['Idempotency-Key: a', 'Idempotency-Key:'],
  'empty twice': ['Idempotency-Key:', 'Idempotency-Key:'],
}

for (const [name, lines] of Object.entries(malformed)) {
  test(`a key that is ${name} is refused, with all other problems`, async () => {
    const user = service.as(newUser())
    const { id } = await makeTask(user)
    const send = (line: string, body: string, ...headers: string[]) =>
      sendRequest(
        service.url,
        [
          `${line} HTTP/1.1`,
          `Authorization: Bearer ${user.token}`,
          'Content-Type: application/json',
          `Content-Length: ${body.length}`,
          ...lines,
          ...headers,
        ],
        body,
      )
    for (let time = 0; time < 2; time++) {
      assertError(await send('POST /api/me/tasks', '{"title":"x"}'), 422, 'VALIDATION_FAILED', [problem])
    }
    const worst = await send('PATCH /api/me/tasks/x?y=1', '{"title":1}', 'If-Match: 1')
    assertError(worst, 422, 'VALIDATION_FAILED', [
      problem,
      ['headers/if-match', 'format'],
      ['params/task_id', 'format'],
      ['query/y', 'additionalProperties'],
      ['/title', 'type'],
    ])
    const complete = await send(`PATCH /api/me/tasks/${id}/complete`, '')
    assertError(complete, 422, 'VALIDATION_FAILED', [problem])
    assert.equal(assertPage(await user.get('/api/me/tasks')).tasks.length, 1)
    const rows = await service.testDatabase.query('select from app.idempotency_keys where user_id = $1', [
      user.userId,
    ])
    assert.equal(rows.length, 0)
  })
}

test('control characters in a key do not reach the service', async () => {
  const user = service.as(newUser())
  for (const character of ['\0', '\u0001', '\u007f']) {
    const lines = ['POST /api/me/tasks HTTP/1.1', 'Host: x', `Authorization: Bearer ${user.token}`]
    const bytes = requestBytes([...lines, `Idempotency-Key: a${character}b`, 'Connection: close'])
    const [answer] = await sendRaw(service.url, bytes)
    assert.ok(answer !== undefined && [400, 422].includes(answer.status), answer?.text)
  }
})

test('a malformed key counts however many problems there are before it', async () => {
  const user = service.as(newUser())
  const query = Array.from({ length: 150 }, (_, n) => `x${n}=1`).join('&')
  const headers = { 'idempotency-key': 'a b' }
  const answer = await user.post(`/api/me/tasks?${query}`, { title: 'x' }, headers)
  assert.deepEqual([answer.status, answer.body.error.details.length], [422, 100])
  assert.ok(!isReplay(await user.post(`/api/me/tasks?${query}`, { title: 'x' }, headers)))
})

test('GET, HEAD, PUT and DELETE, which can be repeated as they are, take no notice of the header', async () => {
  const user = service.as(newUser())
  for (const key of ['a-key', 'a b']) {
    const headers = { 'idempotency-key': key }
    const { id } = await makeTask(user)
    const path = `/api/me/tasks/${id}`
    for (const title of ['one', 'two']) {
      const put = await user.put(path, { title }, headers)
      assertTask(put, 200, { title })
      const got = await user.get(path, headers)
      assertTask(got, 200, { title })
      const head = await user.request('HEAD', path, { headers })
      assert.deepEqual(
        [head.status, isReplay(put), isReplay(got), isReplay(head)],
        [200, false, false, false],
      )
    }
    assertTask(await user.delete(path, headers), 200)
    assertError(await user.delete(path, headers), 404, 'TASK_NOT_FOUND')
    assertError(
      await user.put(`/api/me/tasks/${randomUUID()}`, { title: 'x' }, headers),
      404,
      'TASK_NOT_FOUND',
    )
  }
  const rows = await service.testDatabase.query('select from app.idempotency_keys where user_id = $1', [
    user.userId,
  ])
  assert.equal(rows.length, 0)
})
