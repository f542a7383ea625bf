import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Task } from '../../src/tasks/task.ts'
import { assertPage } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { storeExactTasks } from './stored-tasks.ts'

const service = await startApp()

const sorts = ['created_at', '-created_at', 'updated_at', '-updated_at', 'title', '-title'] as const
type Sort = (typeof sorts)[number]

type Query = {
  readonly sort?: Sort
  readonly completed?: boolean
  readonly q?: string
  readonly created_after?: string
  readonly created_before?: string
  readonly updated_after?: string
  readonly updated_before?: string
}

// Few values of each, so that many tasks share them and many lists hold some of the tasks.
const word = fc.constantFrom('Milk', 'milk', 'É', 'é', '%', '_', '\\', 'ﬁ', '😀', 'ß', 'Ü ber', '\uffff', "'")
const text = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join(''))
const time = fc
  .integer({ min: 0, max: 6 })
  .map((n) => new Date(Date.UTC(2026, 4, 1, 0, 0, 0, n)).toISOString())

const task = fc.record({
  title: text,
  description: fc.option(text, { nil: null }),
  completed: fc.boolean(),
  created_at: time,
  updated_at: time,
})

/** A time as a client may write it: finer than a millisecond, or with an offset. */
const bound = fc
  .tuple(time, fc.constantFrom('', '0', '001', '999'), fc.constantFrom('Z', '+00:00'))
  .map(([each, decimals, offset]) => each.replace('Z', `${decimals}${offset}`))

const query: fc.Arbitrary<Query> = fc.record(
  {
    sort: fc.constantFrom(...sorts),
    completed: fc.boolean(),
    q: fc.oneof(word, text),
    created_after: bound,
    created_before: bound,
    updated_after: bound,
    updated_before: bound,
  },
  { requiredKeys: [] },
)

/** Letter by letter, as PostgreSQL does it. */
function lower(value: string): string {
  return Array.from(value, (letter) => letter.toLowerCase()).join('')
}

/** A time with its decimals, as text that compares. */
function comparable(value: string): string {
  return value.replace(/Z$|\+00:00$/, '').padEnd(32, '0')
}

function passes(each: Task, wanted: Query): boolean {
  const { completed, q } = wanted
  const isAfter = (value: string, limit = '') => limit === '' || comparable(value) > comparable(limit)
  const isBefore = (value: string, limit = '') => limit === '' || comparable(value) < comparable(limit)
  return (
    (completed === undefined || each.completed === completed) &&
    (q === undefined || [each.title, each.description ?? ''].some((own) => lower(own).includes(lower(q)))) &&
    isAfter(each.created_at, wanted.created_after) &&
    isBefore(each.created_at, wanted.created_before) &&
    isAfter(each.updated_at, wanted.updated_after) &&
    isBefore(each.updated_at, wanted.updated_before)
  )
}

function inOrder(tasks: readonly Task[], sort: Sort = '-created_at'): Task[] {
  const column = sort.replace('-', '') as 'created_at' | 'updated_at' | 'title'
  const compare = (a: Task, b: Task) =>
    // UTF-8 goes by code point.
    Buffer.from(a[column]).compare(Buffer.from(b[column])) || (a.id < b.id ? -1 : 1)
  const ascending = tasks.toSorted(compare)
  return sort.startsWith('-') ? ascending.toReversed() : ascending
}

function toPath(wanted: Query): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(wanted)) parameters.set(name, String(value))
  return `/api/me/tasks?${parameters}`
}

/** Walks a list by its cursors, with a limit of its own for each page. */
async function walk(
  user: Client,
  path: string,
  limits: readonly number[],
  between: () => Promise<unknown> = async () => {},
) {
  const seen: Task[] = []
  const totals = new Set<number | undefined>()
  let cursor = ''
  for (let page = 0; ; page++) {
    const limit = limits[page % limits.length]
    const { tasks, next, total } = assertPage(await user.get(`${path}&limit=${limit}&count=true${cursor}`))
    seen.push(...tasks)
    totals.add(total)
    if (next === null) return { seen, totals: [...totals] }
    assert.equal(tasks.length, limit)
    cursor = `&cursor=${next}`
    await between()
  }
}

test('any list, walked with any limits, is what a filter and a sort of all tasks give, and its total too', async () => {
  const limits = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 })
  const lists = fc.array(fc.tuple(query, limits), { minLength: 6, maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(fc.array(task, { maxLength: 30 }), lists, async (fields, queries) => {
      const user = service.as(newUser())
      const tasks = await storeExactTasks(service, user, fields)
      for (const [wanted, sizes] of queries) {
        const { seen, totals } = await walk(user, toPath(wanted), sizes)
        const expected = inOrder(
          tasks.filter((each) => passes(each, wanted)),
          wanted.sort,
        )
        assert.deepEqual(seen, expected, JSON.stringify(wanted))
        assert.deepEqual(totals, [expected.length])
      }
    }),
    { numRuns: 60 },
  )
})

for (const sort of sorts) {
  for (const filter of [
    '',
    '&completed=false',
    '&q=TASK',
    '&completed=false&q=task&updated_after=2020-01-01T00:00:00Z',
  ]) {
    test(`a walk by ${sort}${filter} shows each task that stays as it is once, whatever else is written`, async () => {
      const user = service.as(newUser())
      const day = (n: number) => new Date(Date.UTC(2026, 4, 1 + (n % 7))).toISOString()
      const tasks = await storeExactTasks(
        service,
        user,
        Array.from({ length: 60 }, (_, n) => ({
          title: `Task ${n % 11}`,
          created_at: day(n),
          updated_at: day(n * 3),
        })),
      )
      const [restless, lasting] = [tasks.filter((_, n) => n % 3 === 0), tasks.filter((_, n) => n % 3 > 0)]
      const column = sort.replace('-', '')
      // What is written to the others; to those that last, only what is not the sort value.
      let step = 0
      const write = async () => {
        step++
        const path = `/api/me/tasks/${restless[(step * 7) % restless.length]?.id}`
        const kept = `/api/me/tasks/${lasting[step % lasting.length]?.id}`
        await Promise.all([
          makeTask(user, { title: `Task ${step % 13}` }),
          step % 3 ? user.patch(path, { title: `Task ${step % 17}` }) : user.delete(path),
          user.patch(`/api/me/tasks/${restless[step % restless.length]?.id}/complete`),
          column === 'updated_at' ? undefined : user.patch(kept, { description: `task ${step}` }),
        ])
      }
      let walking = true
      const background = (async () => {
        while (walking) await write()
      })()
      const walks = await Promise.all([
        walk(user, `/api/me/tasks?sort=${sort}${filter}`, [7, 3], write),
        walk(user, `/api/me/tasks?sort=${sort}${filter}`, [2, 11]),
      ])
      walking = false
      await background
      const expected = inOrder(lasting, sort).map(({ id }) => id)
      for (const { seen } of walks) {
        const ids = seen.map(({ id }) => id).filter((id) => expected.includes(id))
        assert.deepEqual(ids, expected)
      }
    })
  }
}

test('a cursor is good for its own sort and filter alone', async () => {
  const user = service.as(newUser())
  const at = '2026-05-01T00:00:00.000Z'
  await storeExactTasks(
    service,
    user,
    Array.from({ length: 4 }, () => ({ title: 'Milk', created_at: at, updated_at: at })),
  )
  const lists = [
    '',
    ...sorts.filter((sort) => sort !== '-created_at').map((sort) => `sort=${sort}`),
    'completed=false',
    'q=milk',
    'q=Milk',
    'created_after=2026-01-01T00:00:00Z',
    'created_after=2026-01-02T00:00:00Z',
    'updated_after=2026-01-01T00:00:00Z',
    'created_before=2027-01-01T00:00:00Z',
    'updated_before=2027-01-01T00:00:00Z',
    'completed=false&q=milk',
  ]
  for (const from of lists) {
    const { next } = assertPage(await user.get(`/api/me/tasks?limit=1&${from}`))
    for (const to of lists) {
      const answer = await user.get(`/api/me/tasks?${to}&cursor=${next}`)
      assert.equal(answer.status, from === to ? 200 : 400, `${from} → ${to}`)
    }
  }
  // The same filter in other words.
  const { next } = assertPage(await user.get('/api/me/tasks?limit=1&created_after=2026-01-01T00:00:00.0009Z'))
  const same = 'sort=-created_at&limit=9&count=true&created_after=2026-01-01T01:00:00%2B01:00'
  assert.equal(assertPage(await user.get(`/api/me/tasks?${same}&cursor=${next}`)).tasks.length, 3)
})
