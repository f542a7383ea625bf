import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { assertReport, exportTasks, fullLine, importLines } from './transfers.ts'

const service = await startApp()

test('imports among other writes of their user: all of both is there, and no version twice', async () => {
  const user = service.as(newUser())
  const shared = await makeTask(user)
  const files = Array.from({ length: 2 }, () => Array.from({ length: 700 }, () => fullLine()))
  const writes = Array.from({ length: 40 }, (_, n) =>
    n % 2 === 0
      ? user.post('/api/me/tasks', { title: `Single ${n}` })
      : user.patch(`/api/me/tasks/${shared.id}`, { title: `Change ${n}` }),
  )
  const imports = files.map((lines) => importLines(user, lines))
  for (const answer of await Promise.all(imports)) assertReport(answer, [700, 0, 0])
  for (const { status } of await Promise.all(writes)) assert.ok(status < 300)
  const tasks = await exportTasks(user)
  assert.equal(tasks.length, 1 + 20 + 1_400)
  assert.equal(new Set(tasks.map(({ version }) => version)).size, tasks.length)
  const stored = new Map(tasks.map((task) => [task.id, task]))
  for (const lines of files) {
    const [first] = lines.map(({ id }) => Number(stored.get(id)?.version))
    for (const [place, line] of lines.entries()) {
      const task = stored.get(line.id)
      assert.deepEqual(task, { ...line, user_id: user.userId, version: Number(first) + place })
    }
  }
})

test('of two imports of the same ids at once each is done as a whole, one after the other', async () => {
  const user = service.as(newUser())
  const lines = Array.from({ length: 1_100 }, () => fullLine())
  const titled = (title: string) => lines.map((line) => ({ ...line, title }))
  const answers = await Promise.all([
    importLines(user, titled('A')),
    importLines(user, titled('B').toReversed()),
  ])
  const counts = answers.map(({ body }) => [body.data.created, body.data.updated])
  assert.deepEqual(counts.sort(), [
    [0, 1_100],
    [1_100, 0],
  ])
  assert.equal(new Set((await exportTasks(user)).map(({ title }) => title)).size, 1)
  const [counter] = await service.testDatabase.query(
    'select version::int from app.change_counters where user_id = $1',
    [user.userId],
  )
  assert.deepEqual(counter, { version: 2_200 })
})
