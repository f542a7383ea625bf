import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Change } from '../src/tasks/changes.ts'
import { createTask } from '../src/tasks/commands.ts'
import type { Task } from '../src/tasks/task.ts'
import { assertError } from './support/answers.ts'
import { makeTask, newUser, startApp } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { erase, liveTasks, readPage } from './support/feed.ts'
import { readPage as readDocument } from './support/markdown.ts'
import { eventually } from './support/process.ts'

// The code on docs/sync.md, as it is printed there.

type Replica = { cursor: string | undefined; tasks: Map<string, Task>; apply(change: Change): void }
type Client = {
  newReplica(): Replica
  follow(options: {
    url: string
    token: () => Promise<string>
    replica: Replica
    signal: AbortSignal
  }): Promise<void>
}

const { blocks } = readDocument('docs/sync.md')
const program = blocks.filter(({ language }) => language === 'js').map(({ text }) => text)
const module = `data:text/javascript,${encodeURIComponent(`${program.join('\n')}\nexport { newReplica, follow }`)}`
// The page exports what the tests use by name.
const client = (await import(module)) as Client

test("the client's loop holds the server's state through a cut and an erasure", async (t) => {
  const testDatabase = await createTestDatabase()
  const userId = newUser()
  const replica = client.newReplica()
  const abort = new AbortController()
  t.after(() => abort.abort())
  const service = await startApp({ testDatabase })
  const options = {
    url: service.url,
    token: async () => service.as(userId).token,
    replica,
    signal: abort.signal,
  }
  const isLevel = () =>
    eventually(async () => {
      const stored = await liveTasks(testDatabase, userId)
      const held = Array.from(replica.tasks.values(), ({ id, version, title }) => [id, `${version} ${title}`])
      return JSON.stringify([...stored].sort()) === JSON.stringify(held.sort())
    })
  await makeTask(service.as(userId), { title: 'before' })
  const following = client.follow(options)
  await isLevel()
  const { id } = await makeTask(service.as(userId), { title: 'a' })
  await isLevel()
  await service.as(userId).delete(`/api/me/tasks/${id}`)
  await isLevel()
  assert.equal(replica.tasks.size, 1)
  service.app.server.closeAllConnections()
  // Not over HTTP, whose connections are cut too.
  await createTask(service.database.scopeFor(userId), { title: 'while it is cut' })
  await isLevel()
  await erase(testDatabase, userId)
  await createTask(service.database.scopeFor(userId), { title: 'after the erasure' })
  await isLevel()
  assert.equal(replica.tasks.size, 1)
  await service.stop()
  abort.abort()
  await following
  await testDatabase.drop()
})

test('a change that comes late or twice changes nothing', async () => {
  const service = await startApp()
  const user = service.as(newUser())
  const replica = client.newReplica()
  const task = await makeTask(user, { title: 'first' })
  const { data: later } = (await user.patch(`/api/me/tasks/${task.id}`, { title: 'second' })).body
  replica.apply({ type: 'upsert', task: later })
  replica.apply({ type: 'upsert', task })
  assert.equal(replica.tasks.get(task.id)?.title, 'second')
  replica.apply({ type: 'delete', id: task.id, version: 3 })
  replica.apply({ type: 'upsert', task: later })
  assert.equal(replica.tasks.size, 0)
})

test('after the statement for a restored backup, cursors from before are refused however many writes follow', async () => {
  const service = await startApp()
  const user = service.as(newUser())
  for (const title of ['a', 'b', 'c']) await makeTask(user, { title })
  const { next: lost } = await readPage(user)
  // The backup was made before the last two.
  await service.testDatabase.query('delete from app.tasks where user_id = $1 and version > 1', [user.userId])
  await service.testDatabase.query('update app.change_counters set version = 1 where user_id = $1', [
    user.userId,
  ])
  const [statement] = blocks.filter(({ language }) => language === 'sql')
  await service.testDatabase.query(statement?.text ?? '')
  for (const title of ['d', 'e', 'f']) {
    await makeTask(user, { title })
    assertError(await user.get(`/api/me/changes?since=${lost}`), 410, 'CURSOR_EXPIRED')
  }
  const { changes, next } = await readPage(user)
  assert.equal(changes.length, 4)
  await makeTask(user, { title: 'g' })
  assert.equal((await readPage(user, next)).changes.length, 1)
})
