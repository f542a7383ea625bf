import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Task } from '../../src/tasks/task.ts'
import { assertError, assertPage, type Problem } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { storeTasks } from './stored-tasks.ts'

const service = await startApp()

async function setCreation(user: Client, { id }: Task, time: string): Promise<void> {
  await service.testDatabase.query('update app.tasks set created_at = $1 where user_id = $2 and id = $3', [
    time,
    user.userId,
    id,
  ])
}

test('a user without tasks has an empty list', async () => {
  assert.deepEqual(assertPage(await service.as(newUser()).get('/api/me/tasks')), { tasks: [], next: null })
})

test('the list holds every task of the user as it is, and nobody else’s', async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const first = await makeTask(user, { title: 'First', description: 'Text', completed: true })
  await makeTask(other)
  const second = await makeTask(user, { title: 'Second' })
  await setCreation(user, second, '9999-01-01T00:00:00.000Z')
  const { tasks, next } = assertPage(await user.get('/api/me/tasks'))
  assert.deepEqual(tasks, [{ ...second, created_at: '9999-01-01T00:00:00.000Z' }, first])
  assert.equal(next, null)
})

test('the newest comes first, whatever was changed last', async () => {
  const user = service.as(newUser())
  const days = [3, 1, 5, 2, 4]
  const tasks = await Promise.all(days.map((day) => makeTask(user, { title: `Day ${day}` })))
  for (const [index, task] of tasks.entries()) {
    await setCreation(user, task, `2026-01-01T00:00:00.00${days[index]}Z`)
  }
  await user.patch(`/api/me/tasks/${tasks[1]?.id}`, { completed: true })
  const titles = assertPage(await user.get('/api/me/tasks')).tasks.map(({ title }) => title)
  assert.deepEqual(titles, ['Day 5', 'Day 4', 'Day 3', 'Day 2', 'Day 1'])
})

test('completed keeps those that are so, or those that are not', async () => {
  const user = service.as(newUser())
  const open = await makeTask(user)
  const done = await makeTask(user, { completed: true })
  assert.deepEqual(assertPage(await user.get('/api/me/tasks?completed=true')).tasks, [done])
  assert.deepEqual(assertPage(await user.get('/api/me/tasks?completed=false')).tasks, [open])
  await user.patch(`/api/me/tasks/${done.id}/complete`, { completed: false })
  assert.deepEqual(assertPage(await user.get('/api/me/tasks?completed=true')).tasks, [])
})

test('100 tasks are answered unless limit asks for others, 500 at most; a full last page has no next', async () => {
  const user = service.as(newUser())
  await storeTasks(service, user, 501)
  for (const [query, length] of [
    ['', 100],
    ['?limit=1', 1],
    ['?limit=499', 499],
    ['?limit=500', 500],
  ] as const) {
    const { tasks, next } = assertPage(await user.get(`/api/me/tasks${query}`))
    assert.equal(tasks.length, length)
    assert.notEqual(next, null)
  }
  const { data } = (await user.get('/api/me/tasks?limit=1')).body
  await user.delete(`/api/me/tasks/${data[0].id}`)
  const { tasks, next } = assertPage(await user.get('/api/me/tasks?limit=500'))
  assert.deepEqual([tasks.length, next], [500, null])
})

const refused: readonly (readonly [query: string, ...Problem])[] = [
  ...['0', '-1'].map((value) => [`limit=${value}`, 'query/limit', 'minimum'] as const),
  ...['501', '999999999999999'].map((value) => [`limit=${value}`, 'query/limit', 'maximum'] as const),
  ...[
    '',
    '1.5',
    '1.0',
    '1e2',
    '%205',
    '5%20',
    '%2B5',
    '+5',
    '0x5',
    '5_0',
    '%EF%BC%95',
    'NaN',
    'null',
    '5,6',
    '-0',
    '05',
  ].map((value) => [`limit=${value}`, 'query/limit', 'type'] as const),
  ['limit=5&limit=5', 'query/limit', 'type'],
  ['limit', 'query/limit', 'type'],
  ...['', '1', '0', 'TRUE', 'True', '%20true', 'yes', 'null', 'true,false'].map(
    (value) => [`completed=${value}`, 'query/completed', 'type'] as const,
  ),
  ['completed=true&completed=true', 'query/completed', 'type'],
  ...['', '1', 'TRUE', 'yes'].map((value) => [`count=${value}`, 'query/count', 'type'] as const),
  ...['', 'id', 'Title', '+title', '%20title', '--title', 'title,-title', 'created_at%20desc', 'version'].map(
    (value) => [`sort=${value}`, 'query/sort', 'enum'] as const,
  ),
  ['q=', 'query/q', 'minLength'],
  ['q', 'query/q', 'minLength'],
  [`q=${'%F0%9F%98%80'.repeat(1_001)}`, 'query/q', 'maxLength'],
  ['cursor=a&cursor=a', 'query/cursor', 'type'],
  ['cursor=', 'query/cursor', 'minLength'],
  [`cursor=${'A'.repeat(4_001)}`, 'query/cursor', 'maxLength'],
  ...['q', 'count', 'created_after', 'created_before', 'updated_after', 'updated_before'].map(
    (name) => [`${name}=true&${name}=true`, `query/${name}`, 'type'] as const,
  ),
  ['sort=title&sort=title', 'query/sort', 'enum'],
  ['created_at=2026-01-01T00:00:00Z', 'query/created_at', 'additionalProperties'],
  ['order=title', 'query/order', 'additionalProperties'],
  ['limits=5', 'query/limits', 'additionalProperties'],
  ['Limit=5', 'query/Limit', 'additionalProperties'],
  ['limit[]=5', 'query/limit[]', 'additionalProperties'],
  ['user_id=x', 'query/user_id', 'additionalProperties'],
  ['access_token=x', 'query/access_token', 'additionalProperties'],
  ['__proto__=1', 'query/__proto__', 'additionalProperties'],
  ['constructor=1', 'query/constructor', 'additionalProperties'],
  ['a%2Fb~c=1', 'query/a~1b~0c', 'additionalProperties'],
]
test('a parameter that is unknown or out of range is refused and named', async () => {
  const user = service.as(newUser())
  for (const [query, path, code] of refused) {
    assertError(await user.get(`/api/me/tasks?${query}`), 422, 'VALIDATION_FAILED', [[path, code]])
  }
})

test('problems of all parameters are reported in one answer', async () => {
  const parameters =
    'limit=0&completed=x&page=2&cursor=damaged&q=&sort=id&created_after=x&updated_before=y&count=1'
  const answer = await service.as(newUser()).get(`/api/me/tasks?${parameters}`, { 'if-none-match': '7' })
  assertError(answer, 422, 'VALIDATION_FAILED', [
    ['headers/if-none-match', 'format'],
    ['query/q', 'minLength'],
    ['query/sort', 'enum'],
    ['query/created_after', 'format'],
    ['query/updated_before', 'format'],
    ['query/count', 'type'],
    ['query/limit', 'minimum'],
    ['query/completed', 'type'],
    ['query/page', 'additionalProperties'],
  ])
})

test('HEAD answers with the status and headers of GET and no body', async () => {
  const user = service.as(newUser())
  await storeTasks(service, user, 3)
  const queries = ['', '?limit=2', '?limit=0', '?q=task&sort=title&count=true&limit=1']
  for (const path of [...queries.map((query) => `/api/me/tasks${query}`), '/api/x/tasks']) {
    const [get, head] = [await user.get(path), await user.request('HEAD', path)]
    assert.equal(head.status, get.status)
    assert.equal(head.text, '')
    for (const name of ['content-type', 'content-length', 'cache-control', 'link', 'etag']) {
      assert.equal(head.headers.get(name), get.headers.get(name), name)
    }
  }
})
