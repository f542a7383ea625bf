import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TrashedTask } from '../../src/tasks/task.ts'
import { writeTrashCursor } from '../../src/tasks/trash-cursor.ts'
import { assertError, assertTrashPage, type Problem } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { makeTrashedTask, storeTrash } from '../support/trash.ts'
import { oddUserIds } from './text-cases.ts'

const service = await startApp()
const { testDatabase } = service

/** Follows the Link headers from a path to the last page, and calls `between` after each page. */
async function walk(user: Client, path: string, between = async () => {}): Promise<TrashedTask[]> {
  const seen: TrashedTask[] = []
  for (let next: string | undefined = path; next !== undefined; ) {
    const answer = await user.get(next)
    const page = assertTrashPage(answer)
    seen.push(...page.tasks)
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1]
    assert.equal(next === undefined, page.next === null)
    if (next !== undefined) {
      assert.equal(new URL(next, service.url).searchParams.get('cursor'), page.next)
      await between()
    }
  }
  return seen
}

test('the trash is empty until a task is deleted, and holds that task as it was with deleted_at', async () => {
  const user = service.as(newUser())
  assert.deepEqual(assertTrashPage(await user.get('/api/me/trash')), { tasks: [], next: null })
  const task = await makeTask(user, { title: 'Title', description: 'Text', completed: true })
  assert.deepEqual(assertTrashPage(await user.get('/api/me/trash')).tasks, [])
  await user.delete(`/api/me/tasks/${task.id}`)
  const [trashed] = assertTrashPage(await user.get('/api/me/trash')).tasks
  assert.ok(trashed)
  const { deleted_at } = trashed
  assert.deepEqual(trashed, { ...task, version: 2, updated_at: deleted_at, deleted_at })
  assert.ok(deleted_at > task.updated_at)
})

test('what was deleted last comes first, whenever it was created; nobody else’s is there', async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const tasks = [await makeTask(user), await makeTask(user), await makeTask(user)]
  await makeTrashedTask(other)
  const order = [1, 2, 0]
  for (const place of order) await user.delete(`/api/me/tasks/${tasks[place]?.id}`)
  // Two deletions of the same millisecond are told apart by their ids, as the next test has it.
  await testDatabase.query(
    `update app.tasks set deleted_at = '2026-01-01'::timestamptz + version * interval '1 ms' where user_id = $1`,
    [user.userId],
  )
  const ids = assertTrashPage(await user.get('/api/me/trash')).tasks.map(({ id }) => id)
  assert.deepEqual(
    ids,
    order.toReversed().map((place) => tasks[place]?.id),
  )
})

test('every page of tasks that were deleted at one moment is told apart by their ids', async () => {
  const user = service.as(newUser())
  await storeTrash(service, user.userId, 25)
  await testDatabase.query('update app.tasks set deleted_at = now() where user_id = $1', [user.userId])
  const seen = (await walk(user, '/api/me/trash?limit=4')).map(({ id }) => id)
  assert.deepEqual(seen, [...new Set(seen)].sort().reverse())
  assert.equal(seen.length, 25)
})

test('100 tasks are answered unless limit asks for others, 500 at most; a full last page has no next', async () => {
  const user = service.as(newUser())
  await storeTrash(service, user.userId, 501)
  for (const [query, length] of [
    ['', 100],
    ['?limit=1', 1],
    ['?limit=500', 500],
  ] as const) {
    const { tasks, next } = assertTrashPage(await user.get(`/api/me/trash${query}`))
    assert.equal(tasks.length, length)
    assert.notEqual(next, null)
  }
  const [first] = assertTrashPage(await user.get('/api/me/trash?limit=1')).tasks
  await user.delete(`/api/me/trash/${first?.id}`)
  const { tasks, next } = assertTrashPage(await user.get('/api/me/trash?limit=500'))
  assert.deepEqual([tasks.length, next], [500, null])
})

test('count=true adds how many there are on all pages, count=false nothing', async () => {
  const user = service.as(newUser())
  assert.equal((await user.get('/api/me/trash?count=true')).body.meta.total, 0)
  await makeTask(user)
  assert.equal((await user.get('/api/me/trash?count=true')).body.meta.total, 0)
  await storeTrash(service, user.userId, 7)
  const first = await user.get('/api/me/trash?count=true&limit=3')
  assert.equal(first.body.meta.total, 7)
  const second = await user.get(`/api/me/trash?count=true&cursor=${first.body.meta.next_cursor}`)
  assert.deepEqual([second.body.meta.total, second.body.data.length], [7, 4])
  assert.ok(!('total' in (await user.get('/api/me/trash?count=false')).body.meta))
})

test('a walk misses and repeats nothing that stays, while tasks come, go and are restored', async () => {
  const user = service.as(newUser())
  await storeTrash(service, user.userId, 60)
  const all = assertTrashPage(await user.get('/api/me/trash?limit=500')).tasks
  const leaving = all.filter((_, place) => place % 3 === 2)
  const gone = new Set(leaving.map(({ id }) => id))
  const seen = await walk(user, '/api/me/trash?limit=7', async () => {
    const [restored, purged] = leaving.splice(0, 2)
    if (restored) await user.post(`/api/me/tasks/${restored.id}/restore`)
    if (purged) await user.delete(`/api/me/trash/${purged.id}`)
    await makeTrashedTask(user)
  })
  const ids = seen.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  const lasting = all.filter(({ id }) => !gone.has(id))
  assert.deepEqual(
    seen.filter(({ id }) => !gone.has(id)),
    lasting,
  )
})

test('the Link URL works as it is for any user id, and a cursor with another limit and with count', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    await storeTrash(service, userId, 9)
    const all = assertTrashPage(await user.get('/api/me/trash')).tasks
    for (const name of ['me', encodeURIComponent(userId)]) {
      assert.deepEqual(await walk(user, `/api/${name}/trash?limit=2`), all)
    }
    const { next } = assertTrashPage(await user.get('/api/me/trash?limit=2'))
    for (const query of ['limit=1', 'limit=500', 'limit=3&count=true']) {
      const { data } = (await user.get(`/api/me/trash?cursor=${next}&${query}`)).body
      assert.deepEqual(data, all.slice(2, 2 + data.length))
    }
  }
})

test('a cursor of another user or list, a damaged and a forged one are INVALID_CURSOR', async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  for (const each of [user, other]) await storeTrash(service, each.userId, 3)
  for (let n = 0; n < 2; n++) await makeTask(user)
  const { tasks, next } = assertTrashPage(await user.get('/api/me/trash?limit=1'))
  const ofTasks = (await user.get('/api/me/tasks?limit=1')).body.meta.next_cursor
  const refuse = async (client: Client, path: string) =>
    assertError(await client.get(path), 400, 'INVALID_CURSOR')
  await refuse(other, `/api/me/trash?cursor=${next}`)
  await refuse(user, `/api/me/tasks?cursor=${next}`)
  await refuse(user, `/api/me/trash?cursor=${ofTasks}`)
  for (const cursor of [next?.slice(1), next?.slice(0, -1), `${next}A`, 'null', 'AAAA', 'x'.repeat(1_000)]) {
    await refuse(user, `/api/me/trash?cursor=${cursor}`)
  }
  const [task] = tasks
  assert.ok(task)
  for (const place of [{ deleted_at: 'x' }, { deleted_at: 'infinity' }, { id: 'x' }]) {
    await refuse(user, `/api/me/trash?cursor=${writeTrashCursor(user.userId, { ...task, ...place })}`)
  }
})

const refused: readonly (readonly [query: string, ...Problem])[] = [
  ['limit=0', 'query/limit', 'minimum'],
  ['limit=501', 'query/limit', 'maximum'],
  ['limit=1.5', 'query/limit', 'type'],
  ['limit=1&limit=2', 'query/limit', 'type'],
  ['count=1', 'query/count', 'type'],
  ['count=', 'query/count', 'type'],
  ['cursor=', 'query/cursor', 'minLength'],
  ['sort=title', 'query/sort', 'additionalProperties'],
  ['completed=true', 'query/completed', 'additionalProperties'],
  ['q=x', 'query/q', 'additionalProperties'],
]
test('a parameter that is unknown or out of range is refused and named', async () => {
  const user = service.as(newUser())
  for (const [query, path, code] of refused) {
    assertError(await user.get(`/api/me/trash?${query}`), 422, 'VALIDATION_FAILED', [[path, code]])
  }
})

test('the ETag is weak, and another after every change of the user’s data, and of theirs alone', async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  const task = await makeTask(user)
  const seen = new Set<string>()
  const etagNow = async () => {
    const etag = (await user.get('/api/me/trash')).headers.get('etag') ?? ''
    assert.match(etag, /^W\/"[^"]+"$/)
    assert.equal(
      etag,
      (await user.get('/api/me/tasks')).headers.get('etag'),
      'one ETag for all lists of a user',
    )
    return etag
  }
  const path = `/api/me/tasks/${task.id}`
  const changes = [
    () => user.patch(path, { title: 'x' }),
    () => user.delete(path),
    () => user.post(`${path}/restore`),
    () => user.delete(path),
    () => user.delete(`/api/me/trash/${task.id}`),
    () => makeTrashedTask(user),
    () => user.delete('/api/me/trash'),
  ]
  for (const change of changes) {
    await change()
    seen.add(await etagNow())
  }
  assert.equal(seen.size, changes.length)
  await makeTrashedTask(other)
  await user.delete('/api/me/trash')
  assert.ok(seen.has(await etagNow()), 'emptying an empty trash changes nothing')
})

test('If-None-Match answers 304 without a body, and 200 again after a change', async () => {
  const user = service.as(newUser())
  const { id } = await makeTrashedTask(user)
  const etag = (await user.get('/api/me/trash')).headers.get('etag') ?? ''
  for (const known of [etag, etag.slice(2), `"x", ${etag}`, '*']) {
    for (const path of ['/api/me/trash', '/api/me/trash?limit=1&count=true']) {
      const answer = await user.get(path, { 'if-none-match': known })
      assert.deepEqual([answer.status, answer.text, answer.headers.get('etag')], [304, '', etag], known)
    }
  }
  assertTrashPage(await user.get('/api/me/trash', { 'if-none-match': '"2", W/"x"' }))
  assertError(await user.get('/api/me/trash', { 'if-none-match': 'x' }), 422, 'VALIDATION_FAILED', [
    ['headers/if-none-match', 'format'],
  ])
  assertError(await user.get('/api/me/trash?cursor=x', { 'if-none-match': etag }), 400, 'INVALID_CURSOR')
  await user.post(`/api/me/tasks/${id}/restore`)
  assert.deepEqual(assertTrashPage(await user.get('/api/me/trash', { 'if-none-match': etag })).tasks, [])
})

test('HEAD answers with the status and headers of GET and no body', async () => {
  const user = service.as(newUser())
  await storeTrash(service, user.userId, 3)
  for (const path of ['/api/me/trash', '/api/me/trash?limit=2', '/api/me/trash?limit=0', '/api/x/trash']) {
    const [get, head] = [await user.get(path), await user.request('HEAD', path)]
    assert.deepEqual([head.status, head.text], [get.status, ''])
    for (const name of ['content-type', 'content-length', 'cache-control', 'etag', 'link']) {
      assert.equal(head.headers.get(name), get.headers.get(name), name)
    }
  }
})
