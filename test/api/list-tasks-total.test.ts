import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertPage } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'
import { storeExactTasks, storeTasks } from './stored-tasks.ts'

const service = await startApp()

test('count=true gives the number of tasks that the filter lets pass, on every page the same', async () => {
  const user = service.as(newUser())
  const at = (n: number) => `2026-05-01T00:00:${String(n % 60).padStart(2, '0')}.000Z`
  await storeExactTasks(
    service,
    user,
    Array.from({ length: 50 }, (_, n) => ({
      title: n % 2 ? 'Milk' : 'Bread',
      completed: n % 5 === 0,
      created_at: at(n),
      updated_at: at(59 - n),
    })),
  )
  await storeTasks(service, service.as(newUser()), 5)
  for (const [filter, total] of [
    ['', 50],
    ['completed=true', 10],
    ['completed=false', 40],
    ['q=milk', 25],
    ['q=nothing', 0],
    ['q=milk&completed=true', 5],
    [`created_after=${at(9)}`, 40],
    [`created_after=${at(9)}&created_before=${at(20)}`, 10],
    [`updated_before=${at(19)}`, 9],
    [`updated_before=${at(19)}&completed=true`, 1],
    [`created_after=${at(9)}&updated_after=${at(39)}`, 10],
    [`created_after=${at(9)}&updated_after=${at(39)}&completed=true`, 2],
  ] as const) {
    for (const sort of ['created_at', '-updated_at', 'title']) {
      let cursor = ''
      let seen = 0
      for (;;) {
        const path = `/api/me/tasks?count=true&limit=20&sort=${sort}&${filter}${cursor}`
        const page = assertPage(await user.get(path))
        assert.equal(page.total, total, path)
        seen += page.tasks.length
        if (page.next === null) break
        cursor = `&cursor=${page.next}`
      }
      assert.equal(seen, total)
    }
  }
})

test('without count=true there is no total, and a cursor is good with and without it', async () => {
  const user = service.as(newUser())
  await storeTasks(service, user, 3)
  assert.ok(!('total' in (await user.get('/api/me/tasks')).body.meta))
  assert.ok(!('total' in (await user.get('/api/me/tasks?count=false')).body.meta))
  const { next } = assertPage(await user.get('/api/me/tasks?limit=1&count=true'))
  assert.equal(assertPage(await user.get(`/api/me/tasks?cursor=${next}`)).tasks.length, 2)
})

test('the Link keeps count', async () => {
  const user = service.as(newUser())
  await storeTasks(service, user, 3)
  const answer = await user.get('/api/me/tasks?limit=2&count=true')
  const link = /^<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1] ?? ''
  assert.equal(assertPage(await user.get(link)).total, 3)
})
