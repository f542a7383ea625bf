import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError, assertPage } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { storeExactTasks } from './stored-tasks.ts'

const service = await startApp()

/** The titles of all tasks that a query brings, in their order. */
async function titles(user: Client, query: string): Promise<string[]> {
  const { tasks, next } = assertPage(await user.get(`/api/me/tasks?${query}`))
  assert.equal(next, null)
  return tasks.map(({ title }) => title)
}

async function storeTimes(user: Client, column: 'created_at' | 'updated_at', times: readonly string[]) {
  await storeExactTasks(
    service,
    user,
    times.map((time) => ({ title: time.slice(11, 23), [column]: time })),
  )
}

for (const column of ['created_at', 'updated_at'] as const) {
  const name = column.replace('_at', '')
  test(`${name}_after and ${name}_before leave out the time that they give`, async () => {
    const user = service.as(newUser())
    const day = '2026-05-01T'
    await storeTimes(
      user,
      column,
      ['10:00:00.000Z', '10:00:00.001Z', '10:00:00.002Z', '10:00:01.000Z'].map((time) => day + time),
    )
    for (const [query, expected] of [
      [`after=${day}10:00:00.000Z`, ['10:00:00.001', '10:00:00.002', '10:00:01.000']],
      [`after=${day}10:00:00.001Z`, ['10:00:00.002', '10:00:01.000']],
      [`before=${day}10:00:00.001Z`, ['10:00:00.000']],
      [`before=${day}10:00:00Z`, []],
      [`after=${day}10:00:00Z&${name}_before=${day}10:00:00.002Z`, ['10:00:00.001']],
      [`after=${day}10:00:00.001Z&${name}_before=${day}10:00:00.001Z`, []],
      [`after=${day}10:00:00.002Z&${name}_before=${day}10:00:00.001Z`, []],
      // Other ways to write a time, a plus sign escaped.
      [`after=${day}12:00:00.001%2B02:00`, ['10:00:00.002', '10:00:01.000']],
      [`before=${day}05:30:00.001-04:30`, ['10:00:00.000']],
      [`after=2026-05-01t10:00:00.002z`, ['10:00:01.000']],
      // Finer than what is stored: between two milliseconds.
      [`after=${day}10:00:00.0009999999Z`, ['10:00:00.001', '10:00:00.002', '10:00:01.000']],
      [`after=${day}10:00:00.0010001Z`, ['10:00:00.002', '10:00:01.000']],
      [`before=${day}10:00:00.0010000001Z`, ['10:00:00.000', '10:00:00.001']],
      [`before=${day}10:00:00.0009999999Z`, ['10:00:00.000']],
    ] as const) {
      for (const sort of ['created_at', 'updated_at', 'title']) {
        const found = await titles(user, `sort=${sort}&${name}_${query}`)
        assert.deepEqual(found.toSorted(), expected, `${query} by ${sort}`)
      }
    }
  })

  test(`${name}_after and ${name}_before take every time from the year 1 to the year 9999`, async () => {
    const user = service.as(newUser())
    await storeTimes(user, column, ['2026-05-01T10:00:00.000Z'])
    const all = ['10:00:00.000']
    const first = ['0001-01-01T00:00:00Z', '0001-01-01T23:59:00%2B23:59', '1582-10-10T00:00:00Z']
    const last = [
      '9999-12-31T23:59:59.999Z',
      '9999-12-31T23:59:59.9999999Z',
      '9999-12-30T00:00:00-23:59',
      '9999-12-31T23:59:60Z',
    ]
    for (const time of first) {
      assert.deepEqual(await titles(user, `${name}_after=${time}`), all, time)
      assert.deepEqual(await titles(user, `${name}_before=${time}`), [], time)
    }
    for (const time of last) {
      assert.deepEqual(await titles(user, `${name}_after=${time}`), [], time)
      assert.deepEqual(await titles(user, `${name}_before=${time}`), all, time)
    }
  })

  test(`${name}_after and ${name}_before refuse what is no time of RFC 3339, and say what is`, async () => {
    const user = service.as(newUser())
    for (const value of [
      '',
      'x',
      'now',
      'infinity',
      '-infinity',
      '1763863724',
      '2026-05-01',
      '2026-05-01T10:00:00',
      '2026-05-01%2010:00:00Z',
      '2026-05-01T10:00:00+02:00',
      '2026-02-30T10:00:00Z',
      '2026-05-01T25:00:00Z',
      '0000-01-01T00:00:00Z',
      '10000-01-01T00:00:00Z',
      '2026-05-01T10:00:00Z%27',
    ]) {
      for (const parameter of [`${name}_after`, `${name}_before`]) {
        const answer = await user.get(`/api/me/tasks?${parameter}=${value}`)
        assertError(answer, 422, 'VALIDATION_FAILED', [[`query/${parameter}`, 'format']])
        assert.match(answer.body.error.details[0].message, /RFC 3339.*2026-11-23T02:08:44\.467Z.*%2B/)
      }
    }
    const long = `2026-05-01T10:00:00.${'1'.repeat(60)}Z`
    const answer = await user.get(`/api/me/tasks?${name}_after=${long}`)
    assertError(answer, 422, 'VALIDATION_FAILED', [[`query/${name}_after`, 'maxLength']])
  })
}

test('filters are met all together', async () => {
  const user = service.as(newUser())
  const at = (day: number) => `2026-05-0${day}T00:00:00.000Z`
  await storeExactTasks(service, user, [
    { title: 'a milk', completed: true, created_at: at(1), updated_at: at(5) },
    { title: 'b milk', completed: false, created_at: at(2), updated_at: at(4) },
    { title: 'c bread', completed: true, created_at: at(3), updated_at: at(6) },
    { title: 'd', description: 'Milk', completed: true, created_at: at(4), updated_at: at(7) },
  ])
  const after = (day: number) => `created_after=${at(day)}`
  for (const [query, expected] of [
    ['q=milk', 'abd'],
    ['q=milk&completed=true', 'ad'],
    [`q=milk&completed=true&${after(1)}`, 'd'],
    [`q=milk&${after(1)}&updated_before=${at(5)}`, 'b'],
    [`completed=true&updated_after=${at(5)}&updated_before=${at(7)}`, 'c'],
    [`completed=false&${after(2)}`, ''],
    [`${after(1)}&created_before=${at(4)}&updated_after=${at(4)}&updated_before=${at(7)}`, 'c'],
  ] as const) {
    for (const sort of ['created_at', '-created_at', 'updated_at', '-updated_at', 'title', '-title']) {
      const found = await titles(user, `sort=${sort}&${query}`)
      assert.equal(
        found
          .map((title) => title[0])
          .sort()
          .join(''),
        expected,
        `${query} by ${sort}`,
      )
    }
  }
})

test('a task that is in the trash is in no list and no total', async () => {
  const user = service.as(newUser())
  const kept = await makeTask(user, { title: 'Kept milk', completed: true })
  const { id } = await makeTask(user, { title: 'Thrown milk', completed: true })
  await user.delete(`/api/me/tasks/${id}`)
  for (const sort of ['created_at', '-created_at', 'updated_at', '-updated_at', 'title', '-title']) {
    for (const filter of [
      '',
      'completed=true',
      'q=milk',
      'completed=true&q=milk',
      'updated_after=2026-01-01T00:00:00Z',
    ]) {
      const page = assertPage(await user.get(`/api/me/tasks?count=true&sort=${sort}&${filter}`))
      assert.deepEqual(page, { tasks: [kept], next: null, total: 1 }, `${filter} by ${sort}`)
    }
  }
})

test('a change is seen by updated_after of the answer before it, and what changed no more by updated_before', async () => {
  const user = service.as(newUser())
  const first = await makeTask(user, { title: 'First' })
  await makeTask(user, { title: 'Second' })
  const { updated_at } = (await user.get(`/api/me/tasks/${first.id}`)).body.data
  await user.patch(`/api/me/tasks/${first.id}`, { completed: true })
  assert.ok((await titles(user, `updated_after=${updated_at}`)).includes('First'))
  assert.ok(!(await titles(user, `updated_before=${updated_at}`)).includes('First'))
})
