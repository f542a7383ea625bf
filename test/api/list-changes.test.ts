import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCursor } from '../../src/lib/cursor.ts'
import type { Change } from '../../src/tasks/changes.ts'
import { assertError } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import {
  assertChanges,
  assertSame,
  erase,
  forgetDeletions,
  purge,
  Replica,
  readPage,
  restore,
} from '../support/feed.ts'

const service = await startApp()
const { testDatabase } = service

/** Each change in short: `+title` or `-id`. */
const short = (changes: readonly Change[]) =>
  changes.map((each) => (each.type === 'upsert' ? `+${each.task.title}` : `-${each.id}`))

async function makeTasks(user: Client, ...titles: string[]) {
  const tasks = []
  for (const title of titles) tasks.push(await makeTask(user, { title }))
  return tasks
}

/** All pages from a cursor on. */
async function walk(user: Client, since: string | undefined, limit: number) {
  const pages = []
  let cursor = since
  for (;;) {
    const page = await readPage(user, cursor, limit)
    pages.push(page)
    cursor = page.next
    if (!page.hasMore) return pages
  }
}

const forge = (position: readonly string[], userId: string) =>
  encodeCursor(position, ['list-changes', userId])

test('without since, the present state comes in pages, in the order of the last change, and no trash', async () => {
  const user = service.as(newUser())
  const [a, b, c, d] = await makeTasks(user, 'a', 'b', 'c', 'd')
  assert.ok(a && b && c && d)
  await user.patch(`/api/me/tasks/${a.id}`, { title: 'a2' })
  await user.delete(`/api/me/tasks/${c.id}`)
  const pages = await walk(user, undefined, 2)
  assert.deepEqual(
    pages.map((page) => short(page.changes)),
    [['+b', '+d'], ['+a2']],
  )
  const task = (await user.get(`/api/me/tasks/${a.id}`)).body.data
  assert.deepEqual(pages[1]?.changes, [{ type: 'upsert', task }])
})

test('a user with nothing has an empty first page, and a cursor to go on from', async () => {
  const user = service.as(newUser())
  const { changes, next, hasMore } = await readPage(user)
  assert.deepEqual([changes, hasMore], [[], false])
  await makeTasks(user, 'a')
  assert.deepEqual(short((await readPage(user, next)).changes), ['+a'])
})

test('after a cursor come the tasks changed since, each once, as they are now; then nothing', async () => {
  const user = service.as(newUser())
  const [a, b, c] = await makeTasks(user, 'a', 'b', 'c')
  assert.ok(a && b && c)
  const { next: since } = await readPage(user)
  for (const title of ['c2', 'c3']) await user.patch(`/api/me/tasks/${c.id}`, { title })
  await user.patch(`/api/me/tasks/${a.id}`, { title: 'a2' })
  await user.patch(`/api/me/tasks/${b.id}`, {})
  const page = await readPage(user, since)
  assert.deepEqual(short(page.changes), ['+c3', '+a2'])
  const again = await readPage(user, page.next)
  assert.deepEqual(again, { changes: [], next: page.next, hasMore: false })
  assert.deepEqual(short((await readPage(user, since)).changes), ['+c3', '+a2'], 'a cursor is good again')
})

test('a deletion is told with its version, also when the task has been removed for good', async () => {
  const user = service.as(newUser())
  const [a, b] = await makeTasks(user, 'a', 'b')
  assert.ok(a && b)
  const { next: since } = await readPage(user)
  await user.delete(`/api/me/tasks/${b.id}`)
  await user.delete(`/api/me/tasks/${a.id}`)
  const expected: Change[] = [
    { type: 'delete', id: b.id, version: 3 },
    { type: 'delete', id: a.id, version: 4 },
  ]
  assert.deepEqual((await readPage(user, since)).changes, expected)
  await purge(testDatabase, user.userId, b.id)
  const page = await readPage(user, since)
  assert.deepEqual(page.changes, expected)
  assert.deepEqual((await readPage(user, page.next)).changes, [], 'removing for good is no change')
  await purge(testDatabase, user.userId, a.id)
  assert.deepEqual((await readPage(user, page.next)).changes, [])
  assert.deepEqual((await readPage(user)).changes, [])
})

test('a task that comes back from the trash, or whose id is used again, is told once, as it is', async () => {
  const user = service.as(newUser())
  const [a, b] = await makeTasks(user, 'a', 'b')
  assert.ok(a && b)
  const { next: since } = await readPage(user)
  for (const { id } of [a, b]) await user.delete(`/api/me/tasks/${id}`)
  await restore(testDatabase, user.userId, a.id)
  await purge(testDatabase, user.userId, b.id)
  assert.deepEqual(short((await readPage(user, since)).changes), [`-${b.id}`, '+a'])
  await makeTask(user, { title: 'b anew', id: b.id })
  assert.deepEqual(short((await readPage(user, since)).changes), ['+a', '+b anew'])
})

test('reading the first state tells of deletions made since it began, and of none before', async () => {
  const user = service.as(newUser())
  const [a, b, c, d] = await makeTasks(user, 'a', 'b', 'c', 'd')
  assert.ok(a && b && c && d)
  await user.delete(`/api/me/tasks/${d.id}`)
  const first = await readPage(user, undefined, 1)
  assert.deepEqual(short(first.changes), ['+a'])
  for (const { id } of [a, b]) await user.delete(`/api/me/tasks/${id}`)
  await purge(testDatabase, user.userId, b.id)
  const rest = await walk(user, first.next, 1)
  assert.deepEqual(
    rest.flatMap((page) => short(page.changes)),
    ['+c', `-${a.id}`, `-${b.id}`],
  )
})

test('reading the first state can go on after any page, and each cursor leads to the same end', async () => {
  const user = service.as(newUser())
  const tasks = await makeTasks(user, ...'abcdefg')
  const cursors: (string | undefined)[] = [undefined]
  const replica = new Replica()
  for (const page of await walk(user, undefined, 2)) {
    for (const change of page.changes) replica.apply(change)
    cursors.push(page.next)
  }
  for (const { id } of tasks.slice(0, 3)) await user.delete(`/api/me/tasks/${id}`)
  await makeTasks(user, 'h')
  for (const cursor of cursors) {
    const copy = new Replica()
    // Whoever has a cursor has what came before it.
    for (const task of cursor === undefined ? [] : replica.tasks.values())
      copy.apply({ type: 'upsert', task })
    copy.cursor = cursor
    await copy.follow(user, () => 2)
    await assertSame(copy, testDatabase, user.userId)
  }
})

test('a cursor below what was forgotten is 410, the one at it and later ones are not', async () => {
  const user = service.as(newUser())
  const [a, b] = await makeTasks(user, 'a', 'b')
  assert.ok(a && b)
  const { next: before } = await readPage(user)
  await user.delete(`/api/me/tasks/${a.id}`)
  const { next: at } = await readPage(user)
  await user.delete(`/api/me/tasks/${b.id}`)
  for (const { id } of [a, b]) await purge(testDatabase, user.userId, id)
  assert.deepEqual(short((await readPage(user, before)).changes), [`-${a.id}`, `-${b.id}`])
  await forgetDeletions(testDatabase, user.userId, 3)
  assertError(await user.get(`/api/me/changes?since=${before}`), 410, 'CURSOR_EXPIRED')
  assert.deepEqual(short((await readPage(user, at)).changes), [`-${b.id}`])
})

test('a first state that began before what was forgotten is 410; one that began later goes on', async () => {
  const user = service.as(newUser())
  const [a] = await makeTasks(user, 'a', 'b', 'c')
  assert.ok(a)
  const { next: old } = await readPage(user, undefined, 1)
  await user.delete(`/api/me/tasks/${a.id}`)
  await purge(testDatabase, user.userId, a.id)
  const { next: young } = await readPage(user, undefined, 1)
  await forgetDeletions(testDatabase, user.userId, 4)
  assertError(await user.get(`/api/me/changes?since=${old}`), 410, 'CURSOR_EXPIRED')
  // Its position is before what was forgotten, but it never held what is gone.
  assert.deepEqual(short((await readPage(user, young)).changes), ['+c'])
})

test('after everything is erased, every older cursor is 410 and a new start works', async () => {
  const user = service.as(newUser())
  await makeTasks(user, 'a', 'b')
  const cursors = [(await readPage(user, undefined, 1)).next, (await readPage(user)).next]
  await erase(testDatabase, user.userId)
  for (const cursor of cursors)
    assertError(await user.get(`/api/me/changes?since=${cursor}`), 410, 'CURSOR_EXPIRED')
  const { changes, next } = await readPage(user)
  assert.deepEqual(changes, [])
  await makeTasks(user, 'c')
  assert.deepEqual(short((await readPage(user, next)).changes), ['+c'])
})

test('a cursor ahead of the counter, as after a restored backup, is 410', async () => {
  const user = service.as(newUser())
  await makeTasks(user, 'a', 'b', 'c')
  const [partial, whole] = [(await readPage(user, undefined, 1)).next, (await readPage(user)).next]
  await testDatabase.query('delete from app.tasks where user_id = $1 and version = 3', [user.userId])
  await testDatabase.query('update app.change_counters set version = 2 where user_id = $1', [user.userId])
  for (const cursor of [partial, whole])
    assertError(await user.get(`/api/me/changes?since=${cursor}`), 410, 'CURSOR_EXPIRED')
  await testDatabase.query('delete from app.change_counters where user_id = $1', [user.userId])
  assertError(await user.get(`/api/me/changes?since=${whole}`), 410, 'CURSOR_EXPIRED')
})

test('a damaged or foreign cursor is 400', async () => {
  const user = service.as(newUser())
  await makeTasks(user, 'a', 'b')
  const { next } = await readPage(user, undefined, 1)
  const other = service.as(newUser())
  await makeTasks(other, 'a', 'b')
  const list = (await user.get('/api/me/tasks?limit=1')).body.meta.next_cursor
  const { userId } = user
  const cursors = [
    ['damaged', `${next.slice(0, -2)}AA`],
    ['cut', next.slice(0, -4)],
    ["another user's", (await readPage(other)).next],
    ["a list's", list],
    ['noise', 'x'],
    ['a negative number', forge(['-1'], userId)],
    ['no number', forge(['1e3'], userId)],
    ['no safe number', forge(['9'.repeat(16)], userId)],
    ['a start before its position', forge(['2', '1'], userId)],
    ['nothing', forge([], userId)],
    ['too much', forge(['1', '2', '3'], userId)],
  ] as const
  for (const [name, cursor] of cursors) {
    const answer = await user.get(`/api/me/changes?since=${cursor}`)
    assertError(answer, 400, 'INVALID_CURSOR')
    assert.equal(answer.headers.get('etag'), null, name)
  }
  assertError(await user.get(`/api/me/tasks?cursor=${next}`), 400, 'INVALID_CURSOR')
})

test('a parameter that is unknown or out of range is 422, before the cursor is looked at', async () => {
  const user = service.as(newUser())
  for (const [query, path, code] of [
    ['limit=0', 'query/limit', 'minimum'],
    ['limit=501', 'query/limit', 'maximum'],
    ['limit=x', 'query/limit', 'type'],
    ['since=', 'query/since', 'minLength'],
    [`since=${'x'.repeat(1_001)}`, 'query/since', 'maxLength'],
    ['cursor=x', 'query/cursor', 'additionalProperties'],
  ] as const) {
    assertError(
      await user.get(`/api/me/changes?since=x&${query}`.replace('since=x&since', 'since')),
      422,
      'VALIDATION_FAILED',
      [[path, code]],
    )
  }
  assert.equal((await user.get('/api/me/changes?limit=500')).status, 200)
})

test('a page has 100 changes when no limit is given', async () => {
  const user = service.as(newUser())
  await testDatabase.query(
    `insert into app.tasks (user_id, id, title, completed, created_at, updated_at, version)
    select $1, gen_random_uuid(), 'x', false, now(), now(), i from generate_series(1, 101) i`,
    [user.userId],
  )
  await testDatabase.query('insert into app.change_counters (user_id, version) values ($1, 101)', [
    user.userId,
  ])
  const { changes, hasMore } = await readPage(user)
  assert.deepEqual([changes.length, hasMore], [100, true])
})

test('the ETag changes with every change, and a poll that names it is 304', async () => {
  const user = service.as(newUser())
  await makeTasks(user, 'a')
  const { next } = await readPage(user)
  const path = `/api/me/changes?since=${next}`
  const first = await user.get(path)
  const etag = first.headers.get('etag') ?? ''
  const unchanged = await user.get(path, { 'if-none-match': etag })
  assert.deepEqual([unchanged.status, unchanged.text], [304, ''])
  assert.equal(unchanged.headers.get('etag'), etag)
  const [b] = await makeTasks(user, 'b')
  const changed = await user.get(path, { 'if-none-match': etag })
  assert.deepEqual(short(assertChanges(changed).changes), ['+b'])
  await user.delete(`/api/me/tasks/${b?.id}`)
  assert.notEqual((await user.get(path)).headers.get('etag'), changed.headers.get('etag'))
  const stale = { 'if-none-match': etag }
  assertError(await user.get(`/api/me/changes?since=x`, stale), 400, 'INVALID_CURSOR')
  await erase(testDatabase, user.userId)
  assertError(await user.get(path, stale), 410, 'CURSOR_EXPIRED')
})
