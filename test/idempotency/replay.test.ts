import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertTask, logLinesOf } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { assertReplay, isReplay, newKey } from './kept-answers.ts'

const service = await startApp()

type Keyed = { readonly 'idempotency-key': string }
type Send = (key: Keyed) => Promise<Answer>

/** Requests that succeed the first time and would not, or would do more, the second time. */
const successes: Readonly<
  Record<string, readonly [status: number, prepare: (user: Client) => Promise<Send>]>
> = {
  'a create': [201, async (user) => (key) => user.post('/api/me/tasks', { title: 'Buy milk' }, key)],
  'a create with an id': [
    201,
    async (user) => {
      const id = randomUUID()
      return (key) => user.post('/api/me/tasks', { id, title: 'x', completed: true }, key)
    },
  ],
  'a create whose id was there': [
    200,
    async (user) => {
      const { id } = await makeTask(user, { id: randomUUID(), title: 'x' })
      return (key) => user.post('/api/me/tasks', { id, title: 'x' }, key)
    },
  ],
  'an update': [
    200,
    async (user) => {
      const { id } = await makeTask(user)
      return (key) => user.patch(`/api/me/tasks/${id}`, { description: 'é\u2028"\\ \u{1f600}\u0007' }, key)
    },
  ],
  'an update with If-Match': [
    200,
    async (user) => {
      const { id } = await makeTask(user)
      return (key) => user.patch(`/api/me/tasks/${id}`, { title: 'y' }, { ...key, 'if-match': '"1"' })
    },
  ],
  'an update that changes nothing': [
    200,
    async (user) => {
      const { id } = await makeTask(user)
      return (key) => user.patch(`/api/me/tasks/${id}`, {}, key)
    },
  ],
  'a completion': [
    200,
    async (user) => {
      const { id } = await makeTask(user)
      return (key) => user.patch(`/api/me/tasks/${id}/complete`, { completed: true }, key)
    },
  ],
  'a toggle': [
    200,
    async (user) => {
      const { id } = await makeTask(user)
      return (key) => user.patch(`/api/me/tasks/${id}/complete`, undefined, key)
    },
  ],
}

for (const [name, [status, prepare]] of Object.entries(successes)) {
  test(`${name} is done once, and its retries are answered with its answer`, async () => {
    const user = service.as(newUser())
    const send = await prepare(user)
    const key = newKey()
    const first = await send(key)
    const task = assertTask(first, status)
    assert.ok(!isReplay(first))
    const location = status < 202 && first.headers.get('location')
    if (name.startsWith('a create')) assert.equal(location, `/api/${user.userId}/tasks/${task.id}`)
    for (let retry = 0; retry < 3; retry++) assertReplay(await send(key), first)
    const { body } = await user.get('/api/me/tasks')
    assert.deepEqual(body.data, [task])
  })
}

test('a retry is answered with what was, whatever became of the task since', async () => {
  const user = service.as(newUser())
  const key = newKey()
  const create = () => user.post('/api/me/tasks', { title: 'Buy milk' }, key)
  const first = await create()
  const path = `/api/me/tasks/${first.body.data.id}`
  await user.put(path, { title: 'Buy oat milk' })
  assertReplay(await create(), first)
  await user.delete(path)
  assertReplay(await create(), first)
  assertError(await user.get(path), 404, 'TASK_NOT_FOUND')
})

type Failure = readonly [status: number, code: string, prepare: (user: Client) => Promise<Failing>]
/** The request, and what would make it succeed if it were done again. */
type Failing = { readonly send: Send; readonly mend: () => Promise<unknown> }

const failures: Readonly<Record<string, Failure>> = {
  'no such task': [
    404,
    'TASK_NOT_FOUND',
    async (user) => {
      const id = randomUUID()
      return {
        send: (key) => user.patch(`/api/me/tasks/${id}`, { title: 'y' }, key),
        mend: () => makeTask(user, { id }),
      }
    },
  ],
  'another version': [
    412,
    'PRECONDITION_FAILED',
    async (user) => {
      const { id } = await makeTask(user, { title: '\u0007 é' })
      const path = `/api/me/tasks/${id}`
      return {
        send: (key) => user.patch(path, { description: 'y' }, { ...key, 'if-match': '"2"' }),
        mend: () => user.put(path, { title: 'Version 2' }),
      }
    },
  ],
  'an id with other content': [
    409,
    'TASK_EXISTS',
    async (user) => {
      const { id } = await makeTask(user, { id: randomUUID(), title: 'x' })
      return {
        send: (key) => user.post('/api/me/tasks', { id, title: 'y' }, key),
        mend: () => user.put(`/api/me/tasks/${id}`, { title: 'y' }),
      }
    },
  ],
  'a body that is not valid': [
    422,
    'VALIDATION_FAILED',
    async (user) => ({
      // Names that jsonb would refuse, and the answer echoes.
      send: (key) => user.post('/api/me/tasks', { title: '', '\u0000': 1, '\ud800': 2, 'a"\\/~b': 3 }, key),
      mend: () => makeTask(user),
    }),
  ],
  'a path that is not valid': [
    422,
    'VALIDATION_FAILED',
    async (user) => ({
      send: (key) => user.patch('/api/me/tasks/x/complete', { completed: 1 }, key),
      mend: () => makeTask(user),
    }),
  ],
}

for (const [name, [status, code, prepare]] of Object.entries(failures)) {
  test(`a retry is answered ${status} again for ${name}, though it would now succeed`, async () => {
    const user = service.as(newUser())
    const { send, mend } = await prepare(user)
    const key = newKey()
    const first = await send(key)
    assert.deepEqual([first.status, first.body.error?.code], [status, code])
    assert.ok(!isReplay(first))
    assert.match(first.headers.get('content-type') ?? '', /^application\/json; charset=utf-8$/)
    await mend()
    assertReplay(await send(key), first)
    assertReplay(await send(key), first)
  })
}

test('an error with a key is the one without a key, headers and all', async () => {
  for (const [, , prepare] of Object.values(failures)) {
    const user = service.as(newUser())
    const { send } = await prepare(user)
    const [plain, keyed] = [await send({} as Keyed), await send(newKey())]
    assert.equal(keyed.status, plain.status)
    assert.deepEqual(keyed.body.error, plain.body.error)
    const namesOf = ({ headers }: Answer) =>
      [...headers].filter(([name]) => !/^(date|x-request-id)$/.test(name))
    assert.deepEqual(namesOf(keyed), namesOf(plain))
  }
})

test('the log has the code of an error that is answered again', async () => {
  const user = service.as(newUser())
  const key = newKey()
  const path = `/api/me/tasks/${randomUUID()}`
  for (const answer of [await user.patch(path, {}, key), await user.patch(path, {}, key)]) {
    const [line] = await logLinesOf(service, answer.headers.get('x-request-id'))
    assert.equal(line?.code, 'TASK_NOT_FOUND')
  }
})

test('without a key each request is done', async () => {
  const user = service.as(newUser())
  const answers = [
    await user.post('/api/me/tasks', { title: 'x' }),
    await user.post('/api/me/tasks', { title: 'x' }),
  ]
  for (const answer of answers) assert.ok(!isReplay(answer))
  assert.notEqual(assertTask(answers[0] as Answer, 201).id, assertTask(answers[1] as Answer, 201).id)
})
