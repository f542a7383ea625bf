import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError, assertPage, assertTask, logLinesOf } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'

const broken: readonly (readonly [name: string, statement: string, repair: string, cause: RegExp])[] = [
  [
    'a renamed column',
    'alter table app.tasks rename column title to heading',
    'alter table app.tasks rename column heading to title',
    /title/,
  ],
  [
    'a revoked grant',
    'revoke all on app.tasks from backend_core_app',
    'grant select, insert, update, delete on app.tasks to backend_core_app',
    /permission denied/,
  ],
]

for (const [name, statement, repair, cause] of broken) {
  test(`${name} is a 500 that says nothing of its cause, which the log has under the request id`, async () => {
    const service = await startApp()
    const user = service.as(newUser())
    await service.testDatabase.query(statement)
    for (const answer of [
      await user.get('/api/me/tasks', { 'x-request-id': 'the-request' }),
      await user.post('/api/me/tasks', { title: 'x' }, { 'x-request-id': 'the-other-request' }),
    ]) {
      assertError(answer, 500, 'INTERNAL_ERROR')
      assert.doesNotMatch(answer.text, /heading|column|permission|denied|pg|postgres|sql|stack|node:|\.ts/i)
      assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
      const lines = await logLinesOf(service, answer.headers.get('x-request-id'))
      const failures = lines.filter(({ level }) => Number(level) >= 50)
      assert.equal(failures.length, 1)
      assert.match(JSON.stringify(failures[0]?.err), cause)
      const ends = lines.filter(({ msg }) => msg === 'request')
      assert.deepEqual(
        ends.map(({ status, code, user_id }) => ({ status, code, user_id })),
        [{ status: 500, code: 'INTERNAL_ERROR', user_id: user.userId }],
      )
    }
    assert.equal((await user.get('/health')).status, 200)
    await service.testDatabase.query(repair)
    const task = await makeTask(user, { title: 'Repaired' })
    assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [task])
  })
}

test('a row that the database refuses is a 500 whose log line has the cause, and no text of the task', async () => {
  const service = await startApp()
  const user = service.as(newUser())
  const task = await makeTask(user, { title: 'Marker one', description: 'Marker two' })
  await service.testDatabase.query(
    `alter table app.tasks add constraint no_marker check (title not like 'Marker%') not valid`,
  )
  const answers = [
    await user.post('/api/me/tasks', { title: 'Marker three', description: 'Marker four' }),
    await user.patch(`/api/me/tasks/${task.id}`, { description: 'Marker five' }),
  ]
  for (const answer of answers) {
    assertError(answer, 500, 'INTERNAL_ERROR')
    assert.doesNotMatch(answer.text, /marker/i)
    const lines = await logLinesOf(service, answer.headers.get('x-request-id'))
    assert.match(JSON.stringify(lines), /no_marker/)
    assert.doesNotMatch(JSON.stringify(lines), /Marker/)
  }
  assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${task.id}`), 200), task)
})
