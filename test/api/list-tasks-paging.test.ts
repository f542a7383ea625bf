import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { decodeCursor, encodeCursor } from '../../src/lib/cursor.ts'
import { writeCursor } from '../../src/tasks/list-cursor.ts'
import { readList } from '../../src/tasks/list-parameters.ts'
import type { Task } from '../../src/tasks/task.ts'
import { assertError, assertPage } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { storeTasks } from './stored-tasks.ts'
import { oddUserIds } from './text-cases.ts'

const service = await startApp()

/** Follows the Link headers from a path to the last page, and calls `between` after each page. */
async function walk(
  user: Client,
  path: string,
  between: (page: Task[]) => Promise<unknown> = async () => {},
) {
  const seen: Task[] = []
  let next: string | undefined = path
  while (next !== undefined) {
    const answer = await user.get(next)
    const page = assertPage(answer)
    seen.push(...page.tasks)
    next = linkOf(answer)
    if (next !== undefined) {
      assert.equal(new URL(next, service.url).searchParams.get('cursor'), page.next)
      await between(page.tasks)
    }
  }
  return seen
}

function linkOf({ headers }: Answer): string | undefined {
  const link = headers.get('link')
  if (link === null) return undefined
  const url = /^<([^>]+)>; rel="next"$/.exec(link)?.[1]
  assert.ok(url, link)
  return url
}

test('the Link URL works as it is, with its limit and filter, for any user id', async () => {
  for (const userId of [newUser(), ...oddUserIds(newUser())]) {
    const user = service.as(userId)
    await storeTasks(service, user, 12)
    for (const name of ['me', encodeURIComponent(userId)]) {
      const path = `/api/${name}/tasks`
      const all = assertPage(await user.get(path)).tasks
      assert.equal(all.length, 12)
      assert.deepEqual(await walk(user, `${path}?limit=5`), all)
      assert.deepEqual(
        await walk(user, `${path}?completed=true&limit=1`),
        all.filter(({ completed }) => completed),
      )
      assert.deepEqual(
        await walk(user, `${path}?limit=4&completed=false`),
        all.filter(({ completed }) => !completed),
      )
    }
  }
})

test('a cursor may be used with another limit, again and again', async () => {
  const user = service.as(newUser())
  await storeTasks(service, user, 9)
  const all = assertPage(await user.get('/api/me/tasks')).tasks
  const { next } = assertPage(await user.get('/api/me/tasks?limit=2'))
  for (const limit of [1, 3, 6, 7, 500, 3]) {
    const { tasks } = assertPage(await user.get(`/api/me/tasks?cursor=${next}&limit=${limit}`))
    assert.deepEqual(tasks, all.slice(2, 2 + limit))
  }
})

for (const filter of ['', 'completed=true&', 'completed=false&']) {
  test(`a walk over ${filter || 'all&'}limit=7 misses and repeats nothing while tasks come and go`, async () => {
    const user = service.as(newUser())
    await storeTasks(service, user, 40)
    for (let n = 0; n < 30; n++) await makeTask(user, { completed: n % 2 === 0 })
    const all = assertPage(await user.get(`/api/me/tasks?${filter}limit=500`)).tasks
    // By place in the list: three of every seven go, the last of the first page among them.
    const doomed = all.filter((_, index) => [2, 4, 6].includes(index % 7))
    const toDelete = [...doomed]
    const seen = await walk(user, `/api/me/tasks?${filter}limit=7`, async (page) => {
      const last = page.at(-1)
      const now = toDelete.splice(0, 5)
      if (last !== undefined && toDelete.includes(last))
        now.push(...toDelete.splice(toDelete.indexOf(last), 1))
      await Promise.all([
        ...now.map(({ id }) => user.delete(`/api/me/tasks/${id}`)),
        makeTask(user, { completed: true }),
        makeTask(user, { completed: false }),
      ])
    })
    const seenIds = seen.map(({ id }) => id)
    assert.equal(new Set(seenIds).size, seenIds.length, 'a task was repeated')
    const gone = new Set(doomed.map(({ id }) => id))
    const lasting = all.filter(({ id }) => !gone.has(id))
    assert.deepEqual(
      seen.filter(({ id }) => !gone.has(id)).map(({ id }) => id),
      lasting.map(({ id }) => id),
    )
  })
}

test('a walk misses and repeats nothing while other requests write all the time', async () => {
  const user = service.as(newUser())
  await storeTasks(service, user, 60)
  const lasting = assertPage(await user.get('/api/me/tasks')).tasks
  let walking = true
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    while (walking) {
      const { id } = await makeTask(user)
      const kept = lasting[writer]
      await user.patch(`/api/me/tasks/${kept?.id}`, { title: `Changed ${id}` })
      await user.delete(`/api/me/tasks/${id}`)
    }
  })
  const walks = await Promise.all([3, 4, 9].map((limit) => walk(user, `/api/me/tasks?limit=${limit}`)))
  walking = false
  await Promise.all(writers)
  const ids = new Set(lasting.map(({ id }) => id))
  for (const seen of walks) {
    const seenIds = seen.map(({ id }) => id)
    assert.equal(new Set(seenIds).size, seenIds.length)
    assert.deepEqual(
      seenIds.filter((id) => ids.has(id)),
      lasting.map(({ id }) => id),
    )
  }
})

test('a cursor used with another user or filter, or damaged, is INVALID_CURSOR', async () => {
  const [user, other] = [service.as(newUser()), service.as(newUser())]
  for (const each of [user, other]) await storeTasks(service, each, 6)
  const next = assertPage(await user.get('/api/me/tasks?limit=1')).next ?? ''
  const filtered = assertPage(await user.get('/api/me/tasks?limit=1&completed=false')).next ?? ''
  const refuse = async (client: Client, query: string) =>
    assertError(await client.get(`/api/me/tasks?${query}`), 400, 'INVALID_CURSOR')
  await refuse(other, `cursor=${next}`)
  await refuse(user, `cursor=${next}&completed=true`)
  await refuse(user, `cursor=${next}&completed=false`)
  await refuse(user, `cursor=${filtered}`)
  await refuse(user, `cursor=${filtered}&completed=true`)
  for (let index = 0; index < next.length; index += 5) {
    const letter = next[index] === 'A' ? 'B' : 'A'
    await refuse(user, `cursor=${next.slice(0, index)}${letter}${next.slice(index + 1)}`)
  }
  const damaged = [
    next.slice(1),
    next.slice(0, -1),
    next.slice(0, 22),
    `${next}A`,
    `${next}%3D`,
    `%20${next}`,
    `${next}.`,
  ]
  damaged.push(next.toUpperCase(), 'null', '0', '%F0%9F%98%80', 'WyIiXQ', 'x'.repeat(1_000))
  for (const cursor of damaged) await refuse(user, `cursor=${cursor}`)
  assert.equal(assertPage(await user.get(`/api/me/tasks?cursor=${next}`)).tasks.length, 5)
})

test('a forged cursor with a place that is none is INVALID_CURSOR', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user)
  const refuse = async (query: string) =>
    assertError(await user.get(`/api/me/tasks?${query}`), 400, 'INVALID_CURSOR')
  for (const sort of ['created_at', 'updated_at', 'title'] as const) {
    const list = readList({ sort })
    const times = ['x', '', "'; --", 'infinity', '+010000-01-01T00:00:00.000Z', '2026-01-01T00:00:00Z']
    const values = sort === 'title' ? ['a\0b', '\ud800', 'x'.repeat(600)] : times
    for (const place of [...values.map((value) => ({ [sort]: value })), { id: 'x' }, { id: `${task.id}x` }]) {
      await refuse(`sort=${sort}&cursor=${writeCursor(user.userId, list, { ...task, ...place })}`)
    }
    const made = writeCursor(user.userId, list, task)
    assertPage(await user.get(`/api/me/tasks?sort=${sort}&cursor=${made}`))
  }
})

test('a position that is not a list of texts is no cursor, though its digest is right', () => {
  for (const payload of ['null', '5', '"x"', '{}', '[1]', '["x",null]', 'x', '']) {
    const digest = hash('sha256', JSON.stringify([payload, 'binding']), 'base64url').slice(0, 22)
    const cursor = Buffer.from(digest + payload).toString('base64url')
    assert.equal(decodeCursor(cursor, ['binding']), undefined, payload)
  }
  assert.deepEqual(decodeCursor(encodeCursor(['a', 'b'], ['binding']), ['binding']), ['a', 'b'])
})
