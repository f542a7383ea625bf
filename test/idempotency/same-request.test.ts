import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { assertReplay, newKey } from './kept-answers.ts'

// Which requests are the same one, by what a client library may write in another way, and which are not.

const service = await startApp()

type Sent = {
  readonly method: string
  readonly path: string
  readonly body?: string
  readonly headers?: Record<string, string>
}

function send(
  user: Client,
  key: Record<string, string>,
  { method, path, body, headers }: Sent,
): Promise<Answer> {
  const type = body === undefined ? undefined : { 'content-type': 'application/json' }
  return user.request(method, path, {
    headers: { ...type, ...headers, ...key },
    ...(body !== undefined && { raw: body }),
  })
}

const id = randomUUID()
const content = '{"title":"Buy milk é","description":"a/b","completed":false}'
const create: Sent = { method: 'POST', path: '/api/me/tasks', body: content }
const update: Sent = {
  method: 'PATCH',
  path: `/api/me/tasks/${id}`,
  body: content,
  headers: { 'if-match': '"1"' },
}
const complete: Sent = { method: 'PATCH', path: `/api/me/tasks/${id}/complete`, body: '{"completed":true}' }
const toggle: Sent = { method: 'PATCH', path: `/api/me/tasks/${id}/complete` }

const same: Readonly<Record<string, readonly [Sent, (user: Client) => Sent]>> = {
  'the user by id': [create, ({ userId }) => ({ ...create, path: `/api/${userId}/tasks` })],
  'the user by escaped id': [
    create,
    ({ userId }) => ({
      ...create,
      path: `/api/%${userId.charCodeAt(0).toString(16)}${userId.slice(1)}/tasks`,
    }),
  ],
  'an escaped me': [create, () => ({ ...create, path: '/api/m%65/tasks' })],
  'an escaped word of the path': [create, () => ({ ...create, path: '/api/me/t%61sks' })],
  'an empty query': [create, () => ({ ...create, path: '/api/me/tasks?' })],
  'white space between the tokens': [create, () => ({ ...create, body: content.replaceAll(',', ' ,\n\t') })],
  'members in another order': [
    create,
    () => ({ ...create, body: '{"completed":false,"description":"a/b","title":"Buy milk é"}' }),
  ],
  'escaped characters': [
    create,
    () => ({ ...create, body: '{"title":"Buy\\u0020milk \\u00e9","description":"a\\/b","completed":false}' }),
  ],
  'the charset with the type': [
    create,
    () => ({ ...create, headers: { 'content-type': 'application/json; charset=utf-8' } }),
  ],
  'another request id and user agent': [
    create,
    () => ({ ...create, headers: { 'x-request-id': 'another', 'user-agent': 'another/1' } }),
  ],
  'a merge patch': [
    update,
    () => ({ ...update, headers: { ...update.headers, 'content-type': 'application/merge-patch+json' } }),
  ],
  'an empty body and none': [toggle, () => ({ ...toggle, body: '' })],
}

for (const [name, [first, retry]] of Object.entries(same)) {
  test(`the same request with ${name} is answered again`, async () => {
    const user = service.as(newUser())
    await makeTask(user, { id })
    const key = newKey()
    const answer = await send(user, key, first)
    assertReplay(await send(user, key, retry(user)), answer)
  })
}

const others: Readonly<Record<string, readonly [Sent, Sent]>> = {
  'another title': [create, { ...create, body: content.replace('milk', 'oats') }],
  'white space that is trimmed': [create, { ...create, body: content.replace('Buy', ' Buy') }],
  'another case': [create, { ...create, body: content.replace('Buy', 'buy') }],
  'a letter in another form of Unicode': [create, { ...create, body: content.normalize('NFD') }],
  'a default written out': [create, { ...create, body: '{"title":"Buy milk é","description":"a/b"}' }],
  'one field more': [create, { ...create, body: content.replace('{', `{"id":"${id}",`) }],
  'a body that is not valid': [create, { ...create, body: '{}' }],
  'a query': [create, { ...create, path: '/api/me/tasks?x=1' }],
  'another operation': [create, update],
  'another method': [
    { ...update, headers: {} },
    { ...create, body: content },
  ],
  'another task': [update, { ...update, path: `/api/me/tasks/${randomUUID()}` }],
  'the path below': [
    { ...update, body: '{"completed":true}', headers: {} },
    { ...complete, body: '{"completed":true}' },
  ],
  'another If-Match': [update, { ...update, headers: { 'if-match': '"2"' } }],
  'any If-Match': [update, { ...update, headers: { 'if-match': '*' } }],
  'no If-Match': [update, { ...update, headers: {} }],
  'no body': [complete, toggle],
  'null as the body': [toggle, { ...toggle, body: 'null' }],
}

for (const [name, [first, other]] of Object.entries(others)) {
  test(`a request with ${name} is another one: its key is refused, and keeps its answer`, async () => {
    const user = service.as(newUser())
    await makeTask(user, { id })
    const key = newKey()
    const answer = await send(user, key, first)
    const list = await user.get('/api/me/tasks')
    assertError(await send(user, key, other), 422, 'IDEMPOTENCY_KEY_REUSED')
    assertReplay(await send(user, key, first), answer)
    assert.deepEqual((await user.get('/api/me/tasks')).body.data, list.body.data)
  })
}

test('of two keys with the same request each has its own answer', async () => {
  const user = service.as(newUser())
  const [one, two] = [await send(user, newKey(), create), await send(user, newKey(), create)]
  assertTask(one, 201, { version: 1 })
  assertTask(two, 201, { version: 2 })
})
