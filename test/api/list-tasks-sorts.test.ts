import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertPage } from '../support/answers.ts'
import { type Client, newUser, startApp } from '../support/app.ts'
import { storeExactTasks } from './stored-tasks.ts'

const service = await startApp()

async function idsBy(user: Client, sort: string, limit = 500): Promise<string[]> {
  const ids: string[] = []
  let cursor = ''
  for (;;) {
    const { tasks, next } = assertPage(await user.get(`/api/me/tasks?limit=${limit}&sort=${sort}${cursor}`))
    ids.push(...tasks.map(({ id }) => id))
    if (next === null) return ids
    cursor = `&cursor=${next}`
  }
}

test('titles go by code point, those beyond the first 65,536 last, one that begins another before it', async () => {
  const titles = [
    '!',
    'A',
    'AA',
    'B',
    'Z',
    '_',
    'a',
    'aa',
    'ab',
    'b',
    '~',
    '\u0080',
    'e\u0301',
    'É',
    'é',
    'ÿ',
    'Ж',
    '가',
  ]
  // UTF-16 would have the pairs of the last before the private use area and the full-width letters.
  titles.push(
    '\ue000',
    'ﬁ',
    'ｚ',
    '\ufffd',
    '\uffff',
    '\u{10000}',
    '𐐀',
    '😀',
    '\u{10ffff}',
    '\u{10ffff}'.repeat(255),
  )
  titles.push('\u0001', '\u{10ffff}\u0001', 'a\u0001b', 'x'.repeat(255))
  const byCodePoint = titles.toSorted((a, b) => Buffer.from(a).compare(Buffer.from(b)))
  const user = service.as(newUser())
  await storeExactTasks(
    service,
    user,
    titles.map((title) => ({ title })),
  )
  for (const limit of [1, 7, 500]) {
    const found: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = assertPage(
        await user.get(`/api/me/tasks?sort=title&limit=${limit}${cursor && `&cursor=${cursor}`}`),
      )
      found.push(...page.tasks.map(({ title }) => title))
      cursor = page.next
    }
    assert.deepEqual(found, byCodePoint)
  }
  const ascending = await idsBy(user, 'title')
  assert.deepEqual(await idsBy(user, '-title', 5), ascending.toReversed())
})

for (const column of ['created_at', 'updated_at', 'title'] as const) {
  test(`tasks with one ${column} go by id, in both directions, also where a page ends among them`, async () => {
    const user = service.as(newUser())
    const values =
      column === 'title' ? ['a', 'b', 'c'] : [1, 2, 3].map((day) => `2026-05-0${day}T00:00:00.000Z`)
    const tasks = await storeExactTasks(
      service,
      user,
      Array.from({ length: 15 }, (_, n) => ({ [column]: values[n % 3] })),
    )
    const expected = tasks
      .toSorted((a, b) => (`${a[column]} ${a.id}` < `${b[column]} ${b.id}` ? -1 : 1))
      .map(({ id }) => id)
    for (const limit of [1, 2, 4, 5, 15, 500]) {
      assert.deepEqual(await idsBy(user, column, limit), expected)
      assert.deepEqual(await idsBy(user, `-${column}`, limit), expected.toReversed())
    }
  })
}

test('without a sort, the newest come first, as with -created_at, and a cursor of one is good for the other', async () => {
  const user = service.as(newUser())
  await storeExactTasks(
    service,
    user,
    [3, 1, 2].map((day) => ({ title: `${day}`, created_at: `2026-05-0${day}T00:00:00.000Z` })),
  )
  const { tasks, next } = assertPage(await user.get('/api/me/tasks?limit=1'))
  assert.equal(tasks[0]?.title, '3')
  const rest = assertPage(await user.get(`/api/me/tasks?sort=-created_at&cursor=${next}`))
  assert.deepEqual(
    rest.tasks.map(({ title }) => title),
    ['2', '1'],
  )
})
