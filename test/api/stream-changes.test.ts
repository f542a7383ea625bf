import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCursor } from '../../src/lib/cursor.ts'
import { assertError, logLinesOf } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { EventSource } from '../support/event-source.ts'
import { erase, forgetDeletions, purge, readPage } from '../support/feed.ts'
import { eventually } from '../support/process.ts'

const service = await startApp({ streams: { heartbeatMs: 100 } })
const { testDatabase, url } = service

const open = (user: Client, options = {}) => EventSource.open(url, user.token, options)
const path = '/api/me/changes/stream'

test('a stream begins now: ready with a cursor, then each change with one', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user, { title: 'before' })
  const stream = await open(user)
  const [ready] = await stream.received(1)
  assert.deepEqual([ready?.event, ready?.data], ['ready', '{}'])
  const made = await makeTask(user, { title: 'after' })
  await stream.received(2)
  const deleted = await user.delete(`/api/me/tasks/${id}`)
  assert.equal(deleted.status, 200)
  await stream.received(3)
  assert.deepEqual(stream.names, ['ready', 'change', 'change'])
  assert.deepEqual(stream.changes, [
    { type: 'upsert', task: made },
    { type: 'delete', id, version: 3 },
  ])
  const ids = stream.events.map((each) => each.id)
  const feeds = await Promise.all(ids.map((since) => readPage(user, since)))
  assert.deepEqual(
    feeds.map(({ changes }) => changes.length),
    [2, 1, 0],
    'each id is a cursor of the changes',
  )
})

test('its headers are those of a stream, and those of every other answer', async () => {
  const user = service.as(newUser())
  const { status, headers } = await open(user)
  assert.equal(status, 200)
  assert.equal(headers.get('content-type'), 'text/event-stream')
  assert.equal(headers.get('x-accel-buffering'), 'no')
  assert.match(headers.get('cache-control') ?? '', /\bno-cache\b/)
  assert.equal(headers.get('content-length'), null)
  const error = await user.get(`${path}?since=x`)
  const framing = ['content-length', 'keep-alive']
  const missing = [...error.headers.keys()].filter((name) => !headers.has(name) && !framing.includes(name))
  assert.deepEqual(missing, [])
})

test('HEAD answers with the headers alone, and refuses what GET refuses', async () => {
  const user = service.as(newUser())
  const answer = await user.request('HEAD', path)
  assert.deepEqual([answer.status, answer.text], [200, ''])
  assert.equal(answer.headers.get('content-type'), 'text/event-stream')
  assert.equal((await user.request('HEAD', `${path}?since=x`)).status, 400)
  assert.equal((await service.anonymous().request('HEAD', path)).status, 401)
})

for (const place of ['since', 'lastEventId']) {
  test(`with a cursor as ${place}, everything after it comes, and then what is new`, async () => {
    const user = service.as(newUser())
    await makeTask(user, { title: 'a' })
    const { next } = await readPage(user)
    for (let count = 0; count < 120; count++) await makeTask(user, { title: `b${count}` })
    const stream = await open(user, { [place]: next })
    await stream.received(121)
    assert.equal(stream.events[0]?.id, next, 'ready has the starting cursor')
    await makeTask(user, { title: 'c' })
    await stream.received(122)
    assert.deepEqual(
      stream.changes.map((each) => (each.type === 'upsert' ? each.task.title : '')),
      [...Array.from({ length: 120 }, (_, count) => `b${count}`), 'c'],
    )
  })
}

test('Last-Event-ID goes before since; an empty one is none', async () => {
  const user = service.as(newUser())
  const { next: since } = await readPage(user)
  await makeTask(user, { title: 'a' })
  const { next: lastEventId } = await readPage(user)
  await makeTask(user, { title: 'b' })
  const titles = async (options: object) => {
    const stream = await open(user, options)
    await eventually(async () => stream.comments > 1)
    return stream.changes.map((each) => (each.type === 'upsert' ? each.task.title : ''))
  }
  assert.deepEqual(await titles({ since, lastEventId }), ['b'])
  assert.deepEqual(await titles({ since, lastEventId: '' }), ['a', 'b'])
  assert.deepEqual(await titles({ since: 'damaged', lastEventId }), ['b'])
  assert.deepEqual(await titles({ lastEventId: '' }), [])
})

test('a stream can go on in the middle of reading the first state', async () => {
  const user = service.as(newUser())
  const tasks = []
  for (const title of 'abcd') tasks.push(await makeTask(user, { title }))
  await user.delete(`/api/me/tasks/${tasks[3]?.id}`)
  const { next } = await readPage(user, undefined, 1)
  await user.delete(`/api/me/tasks/${tasks[0]?.id}`)
  const stream = await open(user, { since: next })
  await stream.received(4)
  const kinds = stream.changes.map((each) => (each.type === 'upsert' ? each.task.title : each.id))
  assert.deepEqual(kinds, ['b', 'c', tasks[0]?.id])
  // Each id is good for going on, also before the first state was all there.
  const again = await open(user, { lastEventId: stream.events[1]?.id ?? '' })
  await again.received(3)
  assert.deepEqual(again.changes, stream.changes.slice(1))
})

test('a client that is cut and comes again with its last id misses nothing', async () => {
  const user = service.as(newUser())
  let stream = await open(user)
  await stream.received(1)
  const seen: string[] = []
  for (let round = 0; round < 5; round++) {
    await makeTask(user, { title: `open ${round}` })
    await eventually(async () => stream.changes.length > 0)
    stream.close()
    seen.push(...stream.changes.map((each) => (each.type === 'upsert' ? each.task.title : '')))
    await makeTask(user, { title: `cut ${round}` })
    stream = await open(user, { lastEventId: stream.lastEventId })
    await eventually(async () => stream.changes.length > 0)
  }
  seen.push(...stream.changes.map((each) => (each.type === 'upsert' ? each.task.title : '')))
  const expected = Array.from({ length: 5 }, (_, round) => [`open ${round}`, `cut ${round}`]).flat()
  assert.deepEqual([...new Set(seen)], expected)
})

test('a damaged or foreign cursor is 400 before the stream begins', async () => {
  const user = service.as(newUser())
  const other = service.as(newUser())
  const { next } = await readPage(other)
  const list = encodeCursor(['1'], ['list-tasks', user.userId, 'undefined'])
  for (const cursor of ['x', next, list]) {
    assertError(await user.get(`${path}?since=${cursor}`), 400, 'INVALID_CURSOR')
    assertError(await user.get(path, { 'last-event-id': cursor }), 400, 'INVALID_CURSOR')
  }
})

test('what is not understood is refused: 401, 403, 405, 422', async () => {
  const user = service.as(newUser())
  assertError(await service.anonymous().get(path), 401, 'TOKEN_MISSING')
  assertError(await user.get(`/api/${newUser()}/changes/stream`), 403, 'FORBIDDEN')
  assertError(await user.post(path, {}), 405, 'METHOD_NOT_ALLOWED')
  const long = 'x'.repeat(1_001)
  for (const [query, headers, where, code] of [
    ['?limit=5', {}, 'query/limit', 'additionalProperties'],
    ['?since=', {}, 'query/since', 'minLength'],
    [`?since=${long}`, {}, 'query/since', 'maxLength'],
    ['', { 'last-event-id': long }, 'headers/last-event-id', 'maxLength'],
  ] as const) {
    assertError(await user.get(`${path}${query}`, headers), 422, 'VALIDATION_FAILED', [[where, code]])
  }
})

test('a cursor that has expired, or is ahead of the counter, gives one reset and the end', async () => {
  const user = service.as(newUser())
  const { next: before } = await readPage(user)
  const { id } = await makeTask(user, { title: 'a' })
  await user.delete(`/api/me/tasks/${id}`)
  await purge(testDatabase, user.userId, id)
  await forgetDeletions(testDatabase, user.userId, 2)
  const ahead = encodeCursor(['9'], ['list-changes', user.userId])
  for (const since of [before, ahead]) {
    const stream = await open(user, { since })
    await stream.ended()
    assert.equal(stream.status, 200)
    assert.deepEqual(stream.events, [{ event: 'reset', data: '{}', id: '' }])
  }
})

test('a stream that is open when everything is erased gives a reset and ends', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  const stream = await open(user)
  await stream.received(1)
  await erase(testDatabase, user.userId)
  await stream.ended()
  assert.deepEqual(stream.names, ['ready', 'reset'])
})

test("another user's change does not reach a stream", async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const stream = await open(user)
  await stream.received(1)
  await makeTask(other, { title: 'not yours' })
  const own = await makeTask(user, { title: 'yours' })
  await stream.received(2)
  assert.deepEqual(stream.changes, [{ type: 'upsert', task: own }])
})

test('a change that is no line of its own in JSON arrives whole', async () => {
  const user = service.as(newUser())
  const stream = await open(user)
  await stream.received(1)
  const description = 'a\nb\r\nc\u2028d\ndata: x\n\nevent: reset\n'
    .padEnd(9_999, '\u{1f600}x')
    .slice(0, 9_999)
  const task = await makeTask(user, { title: 'a\tb', description: description.toWellFormed() })
  await stream.received(2)
  assert.deepEqual(stream.changes, [{ type: 'upsert', task }])
})

test('comments come in between, and each open stream gets its own', async () => {
  const user = service.as(newUser())
  const streams = [await open(user), await open(user)]
  for (const stream of streams) await eventually(async () => stream.comments >= 3)
  assert.deepEqual(
    streams.map(({ names }) => names),
    [['ready'], ['ready']],
  )
})

test('a stream has its log line when it ends, with its time, and none before', async () => {
  const user = service.as(newUser())
  const stream = await open(user)
  await stream.received(1)
  const requestId = stream.headers.get('x-request-id')
  assert.deepEqual(
    service.logs.filter((line) => line.request_id === requestId),
    [],
  )
  stream.close()
  const [line] = await logLinesOf(service, requestId)
  assert.deepEqual(
    [line?.msg, line?.route, line?.status, line?.user_id, line?.aborted],
    ['request', '/api/:user_id/changes/stream', 200, user.userId, true],
  )
})
