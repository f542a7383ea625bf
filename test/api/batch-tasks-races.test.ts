import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import type { Task } from '../../src/tasks/task.ts'
import { assertBatch, assertError, type BatchItem } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'

// Batches that meet each other and single writes of the same user, through two instances on one database.

const testDatabase = await createTestDatabase()
const services = [
  await startApp({ testDatabase, poolMax: 12 }),
  await startApp({ testDatabase, poolMax: 12 }),
] as const
after(() => testDatabase.drop())

const path = '/api/me/tasks/batch'
const modes = ['atomic', 'independent'] as const

/** The user through one of the instances, by turns. */
const clientOf = (user: string, turn: number): Client => services[turn % 2 === 0 ? 0 : 1].as(user)

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make(at))

async function counterOf(user: string): Promise<number> {
  const [row] = await testDatabase.query<{ version: string }>(
    'select version from app.change_counters where user_id = $1',
    [user],
  )
  return Number(row?.version ?? 0)
}

/** The versions that items took: of a deletion, which shows the task as it was, none. */
function versionsOf(items: readonly BatchItem[], operations: readonly { op: string }[]): number[] {
  return items.flatMap(({ task }, at) =>
    task === undefined || operations[at]?.op === 'delete' ? [] : [task.version],
  )
}

test('batches over the same tasks in opposite orders, and single writes among them, never deadlock', async () => {
  const user = newUser()
  const tasks = await Promise.all(times(12, (at) => makeTask(clientOf(user, at), { title: 'Shared' })))
  const start = await counterOf(user)
  const versions: number[] = []
  await Promise.all(
    times(16, async (writer) => {
      const client = clientOf(user, writer)
      for (let round = 0; round < 6; round++) {
        const title = `${writer} ${round}`
        if (writer % 4 === 3) {
          const answer = await client.patch(`/api/me/tasks/${tasks[round % 12]?.id}`, { title })
          assert.equal(answer.status, 200, answer.text)
          versions.push(answer.body.data.version)
          versions.push((await makeTask(client, { title })).version)
          continue
        }
        const order = writer % 2 === 0 ? tasks : tasks.toReversed()
        const operations = [
          ...order.map(({ id }) => ({ op: 'update', id, changes: { title } })),
          { op: 'create', task: { title } },
        ]
        const items = assertBatch(
          await client.post(path, { mode: modes[writer % 3 === 0 ? 0 : 1], operations }),
        )
        const own = versionsOf(items, operations)
        assert.deepEqual(
          own,
          times(13, (at) => (own[0] ?? 0) + at),
          'the versions of a batch are in one piece',
        )
        versions.push(...own)
      }
    }),
  )
  const all = versions.toSorted((a, b) => a - b)
  assert.deepEqual(
    all,
    times(all.length, (at) => start + at + 1),
    'each change has the next number',
  )
  assert.equal(await counterOf(user), start + all.length)
})

test('of atomic batches that race with one if_version one is made, whole, and of the others nothing', async () => {
  const user = newUser()
  const { id } = await makeTask(clientOf(user, 0))
  const answers = await Promise.all(
    times(10, (turn) =>
      clientOf(user, turn).post(path, {
        operations: [
          { op: 'create', task: { title: `before ${turn}` } },
          { op: 'update', id, changes: { title: `turn ${turn}` }, if_version: 1 },
          { op: 'create', task: { title: `after ${turn}` } },
        ],
      }),
    ),
  )
  const made = answers.filter(({ status }) => status === 200)
  assert.equal(made.length, 1)
  const [, winner] = assertBatch(made[0] ?? assert.fail())
  for (const answer of answers.filter(({ status }) => status !== 200)) {
    assertError(answer, 412, 'PRECONDITION_FAILED', [['/operations/1', 'mismatch']])
    assert.deepEqual(answer.body.error.details[0].current, winner?.task)
  }
  assert.equal(await counterOf(user), 4)
})

test('of batches that race to create the same tasks one creates them, and all find them', async () => {
  for (const mode of modes) {
    const user = newUser()
    const operations = times(20, (at) => ({ op: 'create', task: { id: randomUUID(), title: `Task ${at}` } }))
    const answers = await Promise.all(
      times(8, (turn) => {
        const order = turn % 2 === 0 ? operations : operations.toReversed()
        return clientOf(user, turn).post(path, { mode, operations: order })
      }),
    )
    const all = answers.map((answer, turn) => {
      const items = assertBatch(answer)
      return turn % 2 === 0 ? items : items.toReversed()
    })
    const byId = (items: BatchItem[]): (Task | undefined)[] => items.map(({ task }) => task)
    for (const items of all) assert.deepEqual(byId(items), byId(all[0] ?? []))
    const statuses = all.map((items) => new Set(items.map(({ status }) => status)))
    assert.ok(statuses.every(({ size }) => size === 1))
    assert.equal(statuses.filter((each) => each.has(201)).length, 1)
    assert.equal(await counterOf(user), 20)
  }
})

test('a batch is seen whole or not at all: no list holds a part of one', async () => {
  const user = newUser()
  let writing = true
  const write = async () => {
    for (let round = 0; round < 12; round++) {
      const operations = times(10, () => ({ op: 'create', task: { title: `Round ${round}` } }))
      assertBatch(await clientOf(user, round).post(path, { mode: modes[round % 2], operations }))
    }
    writing = false
  }
  const read = async (turn: number) => {
    while (writing) {
      const { body } = await clientOf(user, turn).get('/api/me/tasks?limit=500')
      assert.equal(body.data.length % 10, 0)
    }
  }
  await Promise.all([write(), read(0), read(1)])
  assert.equal(await counterOf(user), 120)
})
