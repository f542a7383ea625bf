import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { versionOf } from '../../src/tasks/changes.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { EventSource } from '../support/event-source.ts'
import { assertSame, Replica, readPage } from '../support/feed.ts'
import { eventually } from '../support/process.ts'
import { openProxy } from '../support/proxy.ts'
import { counterOf } from '../support/trash.ts'

// Which changes reach which streams, how soon, and at what cost: through two instances on one database.

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())
const streams = { heartbeatMs: 100 }
const here = await startApp({ testDatabase, streams: { ...streams, maxStreamsOfUser: 300 } })
const there = await startApp({ testDatabase, streams })

const titles = (stream: EventSource) =>
  stream.changes.map((each) => (each.type === 'upsert' ? each.task.title : ''))

test('a change made through one instance reaches the streams of another', async () => {
  const userId = newUser()
  const stream = await EventSource.open(there.url, there.as(userId).token)
  await stream.received(1)
  for (let count = 0; count < 5; count++) {
    await makeTask(here.as(userId), { title: `${count}` })
    await stream.received(count + 2)
  }
  assert.deepEqual(titles(stream), ['0', '1', '2', '3', '4'])
})

test('a change made here wakes the streams here without asking the database for counters', async () => {
  const own = await startApp({ testDatabase, streams: { ...streams, pollMs: 2 ** 31 - 1 } })
  const user = own.as(newUser())
  const stream = await EventSource.open(own.url, user.token)
  await stream.received(1)
  for (const title of ['a', 'b']) {
    await makeTask(user, { title })
    await stream.received(title === 'a' ? 2 : 3)
  }
  assert.deepEqual(titles(stream), ['a', 'b'])
  stream.close()
})

test('many streams of one user are told by one read, whatever their number', async () => {
  const user = here.as(newUser())
  await makeTask(user, { title: 'first' })
  const { next } = await readPage(user)
  const all = await Promise.all(
    Array.from({ length: 300 }, () => EventSource.open(here.url, user.token, { since: next })),
  )
  for (const stream of all) await stream.received(1)
  const before = here.database.roundTrips
  const start = performance.now()
  await makeTask(user, { title: 'second' })
  for (const stream of all) await stream.received(2)
  // The write, a read or two, and what was asked for counters meanwhile.
  const polls = Math.ceil((performance.now() - start) / 400)
  assert.ok(
    here.database.roundTrips - before <= 4 + polls,
    `${here.database.roundTrips - before} round trips`,
  )
  for (const stream of all) {
    assert.deepEqual(titles(stream), ['second'])
    stream.close()
  }
})

test('a stream that opens at a change made through another instance has those told that were open before', async () => {
  const own = await startApp({ testDatabase, streams: { ...streams, pollMs: 2 ** 31 - 1 } })
  const user = own.as(newUser())
  const open = await EventSource.open(own.url, user.token)
  await open.received(1)
  await makeTask(here.as(user.userId), { title: 'elsewhere' })
  // What it opens with is how this instance hears of the change; it lacks nothing itself.
  const { next } = await readPage(user)
  await EventSource.open(own.url, user.token, { lastEventId: next })
  await open.received(2)
  assert.deepEqual(titles(open), ['elsewhere'])
})

test('open streams cost no connection to the database', async () => {
  const own = await startApp({ testDatabase, streams, poolMax: 1 })
  const users = Array.from({ length: 40 }, () => own.as(newUser()))
  const all = await Promise.all(users.map((user) => EventSource.open(own.url, user.token)))
  for (const stream of all) await stream.received(1)
  // The one connection serves requests and streams by turns.
  await Promise.all(users.map((user) => makeTask(user, { title: 'x' })))
  for (const stream of all) {
    await stream.received(2)
    stream.close()
  }
})

test('streams of one user that are far behind do not hold up others, nor each other', async () => {
  const [behind, other] = [here.as(newUser()), here.as(newUser())]
  await testDatabase.query(
    `insert into app.tasks (user_id, id, title, completed, created_at, updated_at, version)
    select $1, gen_random_uuid(), 'task ' || i, false, now(), now(), i from generate_series(1, 3000) i`,
    [behind.userId],
  )
  await testDatabase.query('insert into app.change_counters (user_id, version) values ($1, 3000)', [
    behind.userId,
  ])
  const { next } = await readPage(behind, undefined, 1)
  const late = await Promise.all(
    Array.from({ length: 3 }, () => EventSource.open(here.url, behind.token, { since: next })),
  )
  const [now, others] = [
    await EventSource.open(here.url, behind.token),
    await EventSource.open(here.url, other.token),
  ]
  const [own] = await Promise.all([makeTask(behind, { title: 'new' }), makeTask(other, { title: 'x' })])
  await Promise.all([now.received(2), others.received(2)])
  assert.deepEqual(titles(now), ['new'])
  for (const stream of late) {
    await eventually(async () => titles(stream).at(-1) === 'new')
    assert.equal(stream.changes.length, 3_000)
    assert.deepEqual(stream.changes.at(-1), { type: 'upsert', task: own })
  }
})

/**
 * Follows a user through streams of either instance that are cut again and again. The one that is open when the writers
 * have ended is not cut: by itself it must come to the last change.
 *
 * @param lastVersion the number of the last change; undefined while there are more to come
 */
async function follow(
  user: Client,
  urls: readonly string[],
  lastVersion: () => Promise<number | undefined>,
): Promise<Replica> {
  const replica = new Replica()
  await replica.follow(user)
  let lastEventId = replica.cursor ?? ''
  let newest = 0
  for (let round = 0; ; round++) {
    const stream = await EventSource.open(urls[round % urls.length] ?? '', user.token, { lastEventId })
    const enough = round % 7
    await eventually(async () => stream.changes.length > enough || stream.comments > 3)
    const newestOf = ({ changes }: EventSource) => changes.map(versionOf).at(-1) ?? newest
    const last = await lastVersion()
    if (last !== undefined) await eventually(async () => newestOf(stream) === last)
    stream.close()
    newest = newestOf(stream)
    for (const change of stream.changes) replica.apply(change)
    lastEventId = stream.lastEventId
    if (last !== undefined) return replica
  }
}

test('clients that are cut again and again, through either instance, end up with the state', async () => {
  const userId = newUser()
  const clients = [here.as(userId), there.as(userId)]
  let writing = true
  const lastVersion = async () => (writing ? undefined : (await counterOf(testDatabase, userId)).version)
  const followers = clients.map((user) => follow(user, [here.url, there.url], lastVersion))
  await Promise.all(
    clients.map(async (user, writer) => {
      for (let count = 0; count < 40; count++) {
        const { id } = await makeTask(user, { title: `${writer}/${count}` })
        if (count % 3 === 0) await user.patch(`/api/me/tasks/${id}`, { title: `${writer}/${count} again` })
        if (count % 4 === 0) await user.delete(`/api/me/tasks/${id}`)
      }
    }),
  )
  writing = false
  for (const replica of await Promise.all(followers)) await assertSame(replica, testDatabase, userId)
})

test('while the database is away a stream stays open, and then it has what was changed meanwhile', async () => {
  const proxy = await openProxy(testDatabase.connection)
  after(() => proxy.close())
  const connection = { ...testDatabase.connection, host: '127.0.0.1', port: proxy.port, ssl: false }
  const own = await startApp({ testDatabase: { ...testDatabase, connection }, streams })
  const user = own.as(newUser())
  const stream = await EventSource.open(own.url, user.token)
  await stream.received(1)
  proxy.refuse()
  const isLogged = (message: string) => own.logs.filter(({ msg }) => msg === message).length
  await eventually(async () => isLogged('changes for streams cannot be read; trying on') > 0)
  await makeTask(here.as(user.userId), { title: 'meanwhile' })
  const { comments } = stream
  await eventually(async () => stream.comments > comments + 3)
  assert.equal((await user.get('/api/me/changes/stream')).status, 503)
  proxy.forward()
  await stream.received(2)
  assert.deepEqual(titles(stream), ['meanwhile'])
  await makeTask(user, { title: 'after' })
  await stream.received(3)
  assert.deepEqual([stream.names, stream.hasEnded], [['ready', 'change', 'change'], false])
  assert.equal(isLogged('changes for streams cannot be read; trying on'), 1)
  await eventually(async () => isLogged('changes for streams can be read again') === 1)
  await own.stop()
})

test('a change whose read fails is read again', async (t) => {
  const user = here.as(newUser())
  await makeTask(user, { title: 'first' })
  const stream = await EventSource.open(here.url, user.token)
  await stream.received(1)
  // The counter has moved, and the table is locked for longer than a read may take.
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  t.after(() => client.end())
  await client.query('begin')
  await client.query('lock table app.tasks in access exclusive mode')
  await client.query(
    `insert into app.tasks (user_id, id, title, completed, created_at, updated_at, version)
    values ($1, gen_random_uuid(), 'second', false, now(), now(), 2)`,
    [user.userId],
  )
  await testDatabase.query('update app.change_counters set version = 2 where user_id = $1', [user.userId])
  await eventually(async () =>
    here.logs.some(({ msg }) => msg === 'changes for streams cannot be read; trying on'),
  )
  await client.query('commit')
  await stream.received(2)
  assert.deepEqual(titles(stream), ['second'])
  stream.close()
})
