import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertReport, type Exported, exportTasks, importLines, kept } from '../api/transfers.ts'
import { newUser, startApp } from '../support/app.ts'

const service = await startApp()

const time = fc
  .date({
    min: new Date('0001-01-01T00:00:00.000Z'),
    max: new Date('9998-12-31T23:59:59.999Z'),
    noInvalidDate: true,
  })
  .map((date) => date.toISOString())

/** Text as it is stored: no NUL, and no lone surrogate. */
const text = (maxLength: number) =>
  fc.string({ unit: 'binary', maxLength }).map((each) => each.replaceAll('\0', ' ').toWellFormed())

const task = fc
  .record({
    id: fc.uuid(),
    title: text(255)
      .map((each) => Array.from(each.trim()).slice(0, 255).join('').trim())
      .filter((each) => each !== ''),
    description: fc.option(text(300)),
    completedAt: fc.option(time),
    created_at: time,
    updated_at: time,
    deleted_at: fc.option(time),
  })
  .map(({ completedAt, ...rest }) => ({
    ...rest,
    completed: completedAt !== null,
    completed_at: completedAt,
  }))

const tasks = fc.uniqueArray(task, { selector: ({ id }) => id, maxLength: 40 })

const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)

test('any tasks, exported, erased and imported, are the same but for their versions, and so they are for another user', async () => {
  await fc.assert(
    fc.asyncProperty(tasks, async (wanted) => {
      const [user, other] = [service.as(newUser()), service.as(newUser())]
      const count = wanted.length
      assertReport(await importLines(user, wanted), [count, 0, 0])
      const exported = await exportTasks(user)
      assert.deepEqual(exported.map(kept), wanted.toSorted(byId))
      assertReport(await importLines(user, exported), [0, 0, count])
      assert.deepEqual(await exportTasks(user), exported, 'nothing changed, the versions neither')
      const erased = await user.delete('/api/me/data', { confirm: 'erase' })
      assert.deepEqual(erased.body.data, { removed: count })
      for (const each of [user, other]) {
        assertReport(await importLines(each, exported, { query: '?dry_run=true' }), [count, 0, 0], true)
        assertReport(await importLines(each, exported), [count, 0, 0])
        assert.deepEqual((await exportTasks(each)).map(kept), exported.map(kept))
      }
    }),
    { numRuns: 40 },
  )
})

test('after any import every task equals its last line, and a second time nothing changes', async () => {
  const few = fc.constantFrom(
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071',
  )
  const lines = fc.array(
    fc.tuple(task, few).map(([each, id]) => ({ ...each, id })),
    { minLength: 1, maxLength: 12 },
  )
  const user = service.as(newUser())
  const expected = new Map<string, object>()
  await fc.assert(
    fc.asyncProperty(lines, async (imported) => {
      const answer = await importLines(user, imported)
      assert.equal(answer.status, 200, answer.text)
      for (const line of imported) expected.set(line.id, line)
      const stored: Exported[] = await exportTasks(user)
      assert.deepEqual(
        new Map(stored.map((each) => [each.id, kept(each)])),
        new Map([...expected].sort(([a], [b]) => (a < b ? -1 : 1))),
      )
      assertReport(await importLines(user, [...expected.values()]), [0, 0, expected.size])
    }),
    { numRuns: 60 },
  )
})
