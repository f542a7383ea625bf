import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import type { UserScope } from '../../src/db/database.ts'
import { readFeed } from '../../src/tasks/changes-store.ts'
import { type List, listTasks } from '../../src/tasks/list-store.ts'
import { findTask } from '../../src/tasks/store.ts'
import { listTrash } from '../../src/tasks/trash-list-store.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'

// What shares a connection with others' statements, and what has one for itself, so that nobody waits behind it.

const testDatabase = await createTestDatabase()
const service = await startApp({ testDatabase, poolMax: 5 })
after(() => testDatabase.drop())

const all = { after: undefined, before: undefined }
const bounded = { after: '2026-01-01T00:00:00.000Z', before: undefined }
const list: List = {
  ...{ sort: 'created_at', direction: 'descending', completed: undefined, q: undefined },
  ...{ created: all, updated: all },
}
const page = { after: undefined, limit: 20, known: [], count: false } as const

type Read = (scope: UserScope) => Promise<unknown>

const listing =
  (other: Partial<List>): Read =>
  (scope) =>
    listTasks(scope, { ...list, ...other }, page)

const short: Readonly<Record<string, Read>> = {
  'one task': (scope) => findTask(scope, randomUUID()),
  'a list': listing({}),
  'a list by title of what is completed': listing({ sort: 'title', completed: true }),
  'a list by the time that bounds it': listing({ created: bounded }),
  'a list by the other time that bounds it': listing({ sort: 'updated_at', updated: bounded }),
  'the trash': (scope) => listTrash(scope, page),
  'the changes': (scope) => readFeed(scope, { after: 0, start: 0, limit: 100 }),
}

const long: Readonly<Record<string, Read>> = {
  'a search': listing({ q: 'x' }),
  'a list by another time than bounds it': listing({ updated: bounded }),
  'a list by a time, bounded by the other': listing({ sort: 'updated_at', created: bounded }),
  'a list by title, bounded by a time': listing({ sort: 'title', updated: bounded }),
  'a list with its total': (scope) => listTasks(scope, list, { ...page, count: true }),
  'the trash with its total': (scope) => listTrash(scope, { ...page, count: true }),
}

/** How many connections three reads of one turn have. */
async function connectionsFor(read: Read): Promise<number> {
  const three = () => Promise.all([1, 2, 3].map(() => read(service.database.scopeFor(newUser()))))
  // So that each connection has what it needs.
  await three()
  await three()
  const reads = three()
  await new Promise(setImmediate)
  const { inUse } = service.database.usage
  await reads
  return inUse
}

for (const [name, read] of Object.entries(short))
  test(`${name} shares a connection`, async () => assert.equal(await connectionsFor(read), 1))

for (const [name, read] of Object.entries(long))
  test(`${name} has a connection for itself`, async () => assert.equal(await connectionsFor(read), 3))

test('what shares a connection in a transaction is read in it', async () => {
  const user = newUser()
  const id = randomUUID()
  const scope = service.database.scopeFor(user)
  const text = `insert into app.tasks (user_id, id, title, completed, created_at, updated_at, version)
    values ($1, $2, 'x', false, now(), now(), 1)`
  await testDatabase.query(text, [user, id])
  await scope.transaction(
    async (inside) => {
      assert.equal((await findTask(inside, id))?.id, id)
      await testDatabase.query('delete from app.tasks where user_id = $1', [user])
      assert.equal((await findTask(inside, id))?.id, id)
    },
    { snapshot: true },
  )
  assert.equal(await findTask(scope, id), undefined)
})

type Write = (user: Client, id: string) => Promise<{ readonly status: number }>

const toTrash: Write = (user, id) => user.delete(`/api/me/tasks/${id}`)
const writes: Readonly<Record<string, readonly [number, Write, Write?]>> = {
  create: [201, (user) => user.post('/api/me/tasks', { title: 'x' })],
  update: [200, (user, id) => user.patch(`/api/me/tasks/${id}`, { title: 'y' })],
  delete: [200, toTrash],
  restore: [200, (user, id) => user.post(`/api/me/tasks/${id}/restore`), toTrash],
  purge: [200, (user, id) => user.delete(`/api/me/trash/${id}`), toTrash],
}

for (const [name, [status, write, prepare]] of Object.entries(writes))
  test(`nobody waits behind a ${name} that waits for a lock`, async () => {
    const single = await startApp({ testDatabase, poolMax: 1 })
    const [user, other] = [single.as(newUser()), single.as(newUser())]
    const { id } = await makeTask(user)
    await prepare?.(user, id)
    const holder = new pg.Client(testDatabase.connection)
    await holder.connect()
    await holder.query('begin')
    await holder.query('select from app.change_counters where user_id = $1 for update', [user.userId])
    let done = false
    const written = write(user, id).finally(() => {
      done = true
    })
    const made = await Promise.all([1, 2, 3].map(() => other.post('/api/me/tasks', { title: 'x' })))
    assert.deepEqual(
      made.map((each) => each.status),
      [201, 201, 201],
    )
    assert.equal(done, false)
    await holder.query('commit')
    assert.equal((await written).status, status)
    await holder.end()
  })
