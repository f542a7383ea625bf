import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { assertError } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp, type TestService } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { EventSource } from '../support/event-source.ts'
import { readPage } from '../support/feed.ts'
import { eventually } from '../support/process.ts'

// How many streams may be open.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())
const path = '/api/me/changes/stream'

const open = ({ url }: TestService, { token }: Client) => EventSource.open(url, token)

/** Asks for one more, which must be refused: an answer that does not end would be waited for. */
const refused = async (user: Client): Promise<Answer> => user.get(path)

test('of one user 100 streams are open at most, those that are being opened included; others go on', async () => {
  const service = await startApp({ testDatabase })
  const user = service.as(newUser())
  const all = await Promise.all(Array.from({ length: 130 }, () => open(service, user)))
  const taken = all.filter(({ status }) => status === 200)
  assert.deepEqual([taken.length, all.filter(({ status }) => status === 429).length], [100, 30])
  const answer = await refused(user)
  assertError(answer, 429, 'RATE_LIMITED')
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assert.equal((await user.get('/api/me/tasks')).status, 200)
  assert.equal((await user.request('HEAD', path)).status, 200)
  const other = await open(service, service.as(newUser()))
  assert.equal(other.status, 200)
  // Each that goes makes room for one.
  taken[0]?.close()
  const next = await eventually(async () => {
    const stream = await open(service, user)
    return stream.status === 200 && stream
  })
  await next.received(1)
  assertError(await refused(user), 429, 'RATE_LIMITED')
})

test('of all users an instance has so many at most, and room again when they have gone', async () => {
  const service = await startApp({ testDatabase, streams: { maxStreams: 5 } })
  const users = Array.from({ length: 8 }, () => service.as(newUser()))
  const all = await Promise.all(users.map((user) => open(service, user)))
  const taken = all.filter(({ status }) => status === 200)
  assert.deepEqual([taken.length, all.filter(({ status }) => status === 503).length], [5, 3])
  const late = service.as(newUser())
  const answer = await refused(late)
  assertError(answer, 503, 'OVERLOADED')
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assert.equal((await late.get('/api/me/tasks')).status, 200)
  // Again and again: what has gone is counted no more, however it went.
  for (let round = 0; round < 3; round++) {
    for (const stream of taken.splice(0)) stream.close()
    await eventually(async () => {
      const stream = await open(service, late)
      if (stream.status === 200) taken.push(stream)
      return taken.length === 5
    })
    assertError(await refused(late), 503, 'OVERLOADED')
  }
})

test('a stream that could not be opened, or began with its end, is not counted', async () => {
  const service = await startApp({ testDatabase, streams: { maxStreams: 1, maxStreamsOfUser: 1 } })
  const user = service.as(newUser())
  await makeTask(user)
  const { next } = await readPage(user)
  await testDatabase.query(
    'update app.change_counters set version = 9, expired_before = 9 where user_id = $1',
    [user.userId],
  )
  for (let n = 0; n < 3; n++) {
    assertError(await user.get(`${path}?since=x`), 400, 'INVALID_CURSOR')
    assert.match((await user.get(`${path}?since=${next}`)).text, /^event: reset$/m)
  }
  assert.equal((await open(service, user)).status, 200)
})
