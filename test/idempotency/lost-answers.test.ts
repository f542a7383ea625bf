import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { assertError, assertPage, assertTask } from '../support/answers.ts'
import { type Answer, newUser, startApp, testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { addressOf, eventually, startService } from '../support/process.ts'
import { openProxy } from '../support/proxy.ts'
import { requestBytes, sendRaw } from '../support/raw-http.ts'
import { assertReplay, isReplay, newKey } from './kept-answers.ts'

// The answer to a write is lost in every place: there are both write and kept answer, or neither.

const testDatabase = await createTestDatabase()
const proxy = await openProxy(testDatabase.connection)
const connection = { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port }
const service = await startApp({ testDatabase: { ...testDatabase, connection } })
after(async () => {
  await service.stop()
  await proxy.close()
  await testDatabase.drop()
})

/** In each message that commits: the statement that keeps the answer goes with it, by name or (behind a pooler) as text. */
const commit = /keep_idempotency_key|insert into app\.idempotency_keys/

/** The first answer that is not about a request still under way. */
function settled(send: () => Promise<Answer>): Promise<Answer> {
  return eventually(async () => {
    const answer = await send()
    return answer.body.error?.code !== 'IDEMPOTENCY_IN_PROGRESS' && answer
  })
}

async function storedOf(userId: string) {
  const { query } = testDatabase
  const tasks = await query('select title from app.tasks where user_id = $1', [userId])
  const keys = await query('select answer from app.idempotency_keys where user_id = $1', [userId])
  return { tasks: tasks.length, keys: keys.length }
}

for (const [what, isDone] of [
  ['request', false],
  ['answer', true],
] as const) {
  const title = isDone
    ? 'the connection breaks after COMMIT: a retry is answered with what was done'
    : 'the connection breaks before COMMIT: nothing is done, and a retry does it'
  test(title, async () => {
    const user = service.as(newUser())
    const key = newKey()
    const create = () => user.post('/api/me/tasks', { title: 'x' }, key)
    const kept = proxy.keepBack(what, commit)
    const lost = create()
    await kept
    proxy.refuse()
    assertError(await lost, 503, 'DATABASE_UNAVAILABLE')
    assert.deepEqual(await storedOf(user.userId), isDone ? { tasks: 1, keys: 1 } : { tasks: 0, keys: 0 })
    proxy.forward()
    const retry = await settled(create)
    assertTask(retry, 201)
    assert.equal(isReplay(retry), isDone)
    assertReplay(await create(), retry)
    assert.equal(assertPage(await user.get('/api/me/tasks')).tasks.length, 1)
  })

  const killed = isDone
    ? 'the service is killed between COMMIT and its answer: a retry elsewhere is answered with what was done'
    : 'the service is killed before COMMIT: nothing is done, and a retry elsewhere does it'
  test(killed, async () => {
    const dying = await startService({
      DATABASE_URL: addressOf(connection),
      BETTER_AUTH_SECRET: testSecret,
    })
    const user = service.as(newUser())
    const key = newKey()
    const kept = proxy.keepBack(what, commit)
    const lost = fetch(`${dying.url}/api/me/tasks`, {
      method: 'POST',
      headers: { authorization: `Bearer ${user.token}`, 'content-type': 'application/json', ...key },
      body: JSON.stringify({ title: 'x' }),
    })
    // Once it is dead, the client has nothing.
    const refused = assert.rejects(lost)
    await kept
    await dying.end('SIGKILL')
    await refused
    assert.deepEqual(await storedOf(user.userId), isDone ? { tasks: 1, keys: 1 } : { tasks: 0, keys: 0 })
    const create = () => user.post('/api/me/tasks', { title: 'x' }, key)
    const retry = await settled(create)
    assertTask(retry, 201)
    assert.equal(isReplay(retry), isDone)
    assert.equal(assertPage(await user.get('/api/me/tasks')).tasks.length, 1)
  })
}

test('a client that leaves before it is answered finds the answer with its key', async () => {
  const user = service.as(newUser())
  const key = newKey()
  const kept = proxy.keepBack('answer', commit)
  const lines = [
    'POST /api/me/tasks HTTP/1.1',
    'Host: test',
    `Authorization: Bearer ${user.token}`,
    'Content-Type: application/json',
    'Content-Length: 13',
    `Idempotency-Key: ${key['idempotency-key']}`,
  ]
  assert.deepEqual(
    await sendRaw(service.url, requestBytes(lines, '{"title":"x"}'), { afterwards: 'cut' }),
    [],
  )
  await kept
  const retry = await settled(() => user.post('/api/me/tasks', { title: 'x' }, key))
  assert.ok(isReplay(retry))
  assertTask(retry, 201, { version: 1 })
  // The first request need not wait for its deadline.
  proxy.refuse()
  proxy.forward()
})
