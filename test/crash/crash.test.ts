import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { signToken } from '../../src/cli/sign-token.ts'
import type { Task } from '../../src/tasks/task.ts'
import { newUser, testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { startMortalService } from './mortal-service.ts'
import { type Counts, StubbornClient } from './stubborn-client.ts'

// A longer run: CRASH_KILLS=200 npm test -- test/crash/crash.test.ts.
const leastKills = Number(process.env.CRASH_KILLS ?? '10')

test('a service killed again and again: what clients repeat until it is answered is done once, and what was answered is true', async (t) => {
  const testDatabase = await createTestDatabase()
  const service = await startMortalService({ testDatabase, secret: testSecret, mostLifeMs: 600 })
  t.after(() => testDatabase.drop())
  const users = Array.from({ length: 3 }, newUser)
  const clients = users.flatMap((userId) => {
    const token = signToken({ secret: testSecret, userId })
    return Array.from({ length: 8 }, (_, at) => ({
      userId,
      client: new StubbornClient(`c${at}`, token, service.url),
    }))
  })
  const working = clients.map(async ({ client }) => {
    while (service.kills() < leastKills) {
      await client.act()
    }
  })
  const enough = (async () => {
    while (service.kills() < leastKills) await delay(20)
    await service.liveOn()
  })()
  await Promise.all([...working, enough])
  assert.deepEqual(
    clients.flatMap(({ client }) => client.wrongs),
    [],
  )

  const stored = await readAll(await service.url(), users)
  for (const { userId, client } of clients) {
    for (const { title, task } of client.intents) {
      const found = stored.get(`${userId} ${title}`) ?? []
      if (task !== undefined)
        assert.deepEqual(found, [task], 'what was acknowledged is there, once, as it was shown')
      else assert.ok(found.length <= 1, `what was given up is there twice: ${JSON.stringify(found)}`)
      stored.delete(`${userId} ${title}`)
    }
  }
  assert.deepEqual([...stored.keys()], [], 'nothing is there that nobody asked for')

  const all = clients.map(({ client }) => client)
  const sum = (name: keyof Counts) => all.reduce((total, { counts }) => total + counts[name], 0)
  const intents = all.flatMap((client) => client.intents)
  const answered = intents.filter(({ task }) => task !== undefined).length
  assert.ok(sum('failures') > 0 && answered > 0)
  t.diagnostic(
    `${service.kills()} kills, ${intents.length} creates intended, ${answered} answered, ${sum('requests')} requests, ` +
      `${sum('failures')} without an answer, ${sum('inProgress')} still in progress, ${sum('replays')} replays, ` +
      `${sum('found')} found by their id`,
  )
})

/** All tasks of some users, by user and title. */
async function readAll(url: string, users: readonly string[]): Promise<Map<string, Task[]>> {
  const all = new Map<string, Task[]>()
  for (const userId of users) {
    const headers = { authorization: `Bearer ${signToken({ secret: testSecret, userId })}` }
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = `limit=500${cursor && `&cursor=${cursor}`}`
      const response = await fetch(`${url}/api/me/tasks?${query}`, { headers })
      assert.equal(response.status, 200)
      // The envelope of a list of tasks.
      const page = (await response.json()) as { data: Task[]; meta: { next_cursor: string | null } }
      for (const task of page.data) {
        const place = `${userId} ${task.title}`
        all.set(place, [...(all.get(place) ?? []), task])
      }
      cursor = page.meta.next_cursor
    }
  }
  return all
}
