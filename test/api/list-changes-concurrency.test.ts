import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createTask } from '../../src/tasks/commands.ts'
import { lockChanges } from '../../src/tasks/store.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { assertSame, purge, Replica, readPage, restore } from '../support/feed.ts'
import { eventually } from '../support/process.ts'

// The promise: whoever applies the pages in order holds the server's state at has_more=false, whatever is written
// meanwhile.

const service = await startApp()
const { testDatabase, database } = service

/** A source of numbers that a seed repeats: mulberry32. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** Writes at random: creates, updates, deletes, restores, removes for good, and uses ids again. */
async function write(user: Client, pick: (below: number) => number, times: number): Promise<void> {
  const ids: string[] = []
  for (let turnOf = 0; turnOf < times; turnOf++) {
    const id = ids[pick(Math.max(1, ids.length))]
    const kind = id === undefined ? 0 : pick(10)
    if (kind < 3) ids.push((await makeTask(user, { title: `made ${turnOf}` })).id)
    else if (kind < 6) await user.patch(`/api/me/tasks/${id}`, { title: `changed ${turnOf}` })
    else if (kind < 8) await user.delete(`/api/me/tasks/${id}`)
    else if (id !== undefined) {
      const [row] = await testDatabase.query<{ trashed: boolean }>(
        'select deleted_at is not null as trashed from app.tasks where user_id = $1 and id = $2',
        [user.userId, id],
      )
      if (row === undefined) await user.post('/api/me/tasks', { title: `again ${turnOf}`, id })
      else if (row.trashed && kind === 8) await restore(testDatabase, user.userId, id)
      else if (row.trashed) await purge(testDatabase, user.userId, id)
    }
  }
}

for (const seed of [1, 2, 3]) {
  test(`replicas that follow while eight writers write end up with the server's state (seed ${seed})`, async () => {
    const user = service.as(newUser())
    const pick = random(seed)
    let writing = true
    const writers = Array.from({ length: 8 }, (_, index) => write(user, random(seed * 100 + index), 25))
    const followers = Array.from({ length: 4 }, async () => {
      const replica = new Replica()
      while (writing) {
        await replica.follow(user, () => 1 + pick(7))
        await turn()
      }
      await replica.follow(user, () => 1 + pick(7))
      return replica
    })
    await Promise.all(writers)
    writing = false
    for (const replica of await Promise.all(followers)) await assertSame(replica, testDatabase, user.userId)
    const late = new Replica()
    await late.follow(user, () => 3)
    await assertSame(late, testDatabase, user.userId)
  })
}

test('a transaction that holds its commit back, with writers waiting behind it, is not passed by', async () => {
  const user = service.as(newUser())
  await makeTask(user, { title: 'first' })
  const replica = new Replica()
  await replica.follow(user)
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const { promise: written, resolve: hasWritten } = Promise.withResolvers<void>()
  const slow = database.scopeFor(user.userId).transaction(async (scope) => {
    lockChanges(scope)
    await createTask(scope, { title: 'slow' })
    hasWritten()
    await held
  })
  await written
  const behind = Array.from({ length: 3 }, (_, index) => makeTask(user, { title: `behind ${index}` }))
  await eventually(async () => {
    const [row] = await testDatabase.query<{ waiting: number }>(
      `select count(*)::int as waiting from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database()`,
    )
    return row?.waiting === 3
  })
  const before = replica.cursor
  await replica.follow(user)
  assert.equal(replica.cursor, before, 'nothing is told before it is committed')
  assert.deepEqual(
    Array.from(replica.tasks.values(), ({ title }) => title),
    ['first'],
  )
  release()
  await Promise.all([slow, ...behind])
  await replica.follow(user)
  assert.equal(replica.tasks.size, 5)
  await assertSame(replica, testDatabase, user.userId)
})

test('a walk of a state at rest has each task once, in any page size', async () => {
  const user = service.as(newUser())
  await write(user, random(7), 60)
  for (const limit of [1, 2, 7, 500]) {
    const seen: string[] = []
    for (let since: string | undefined, hasMore = true; hasMore; ) {
      const page = await readPage(user, since, limit)
      seen.push(...page.changes.map((each) => (each.type === 'upsert' ? each.task.id : each.id)))
      since = page.next
      hasMore = page.hasMore
    }
    assert.equal(new Set(seen).size, seen.length)
  }
})
