import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Task } from '../../src/tasks/task.ts'
import { assertError, assertTask, assertTrashedTask } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, type TestService } from '../support/app.ts'

export type ChangingOperation = {
  /** Changes the task with this id, so that it has another version afterwards or is gone. */
  readonly change: (user: Client, id: string, headers: Record<string, string>) => Promise<Answer>
  /** Whether the answer shows the task as it was before the change. */
  readonly answersBefore?: boolean
  /** Whether it is for tasks in the trash. */
  readonly inTrash?: boolean
}

/** The tests of If-Match that every operation which changes one task must pass. */
export function testIfMatch(
  service: TestService,
  { change, answersBefore = false, inTrash = false }: ChangingOperation,
): void {
  const assertAnswer = inTrash ? assertTrashedTask : assertTask
  const list = inTrash ? '/api/me/trash' : '/api/me/tasks'

  /** @returns a task at version 3, and the list that it is in */
  async function makeChangedTask(): Promise<{ user: Client; task: Task; listed: Task[] }> {
    const user = service.as(newUser())
    await makeTask(user, { title: 'Another' })
    const { id } = await makeTask(user, { title: 'First' })
    if (inTrash) await user.delete(`/api/me/tasks/${id}`)
    else await user.patch(`/api/me/tasks/${id}`, { title: 'Second' })
    const listed: Task[] = (await user.get(list)).body.data
    const task = listed[0]
    assert.ok(task)
    assert.deepEqual([task.id, task.version, listed.length], [id, 3, inTrash ? 1 : 2])
    return { user, task, listed }
  }

  const matching = [
    '"3"',
    '*',
    ' * ',
    '"1", "3"',
    '"3" ,"9"',
    'W/"1", "3"',
    '"no-number","3","","\u00ff"',
    '"3", "3"',
  ]
  for (const value of matching) {
    test(`If-Match ${value} holds for version 3, and the change is made`, async () => {
      const { user, task } = await makeChangedTask()
      const answer = await change(user, task.id, { 'if-match': value })
      assertAnswer(answer, 200, { id: task.id, version: answersBefore ? 3 : 4 })
    })
  }

  const failing = [
    '"1"',
    '"2"',
    '"4"',
    '"1","2","4"',
    'W/"3"',
    'W/"3", "2"',
    '""',
    '"03"',
    '"+3"',
    '"3.0"',
    '"W/3"',
    '"*"',
    '"9007199254740993"',
    '"9999999999999999"',
    `"${'3'.repeat(400)}"`,
  ]
  for (const value of failing) {
    test(`If-Match ${value.slice(0, 30)} does not hold for version 3: 412 with the current task, and no change`, async () => {
      const { user, task, listed } = await makeChangedTask()
      const answer = await change(user, task.id, { 'if-match': value })
      assertError(answer, 412, 'PRECONDITION_FAILED', [['headers/if-match', 'mismatch']])
      assert.deepEqual(answer.body.error.details[0].current, task)
      assert.equal(answer.headers.get('etag'), '"3"')
      assert.deepEqual((await user.get(list)).body.data, listed)
      assert.equal((await makeTask(user)).version, 4)
    })
  }

  const malformed = ['3', '"3', '3"', "'3'", '"3" "4"', '*, "3"', 'w/"3"', 'W/3', 'W/*', '"3";', '"a b"']
  for (const value of malformed) {
    test(`If-Match ${value} is malformed: 422, and no change`, async () => {
      const { user, task, listed } = await makeChangedTask()
      assertError(await change(user, task.id, { 'if-match': value }), 422, 'VALIDATION_FAILED', [
        ['headers/if-match', 'format'],
      ])
      assert.deepEqual((await user.get(list)).body.data, listed)
    })
  }

  test('If-Match on a task that does not exist is 404, whatever it holds', async () => {
    const { user } = await makeChangedTask()
    for (const value of ['*', '"1"', 'W/"3"']) {
      assertError(await change(user, randomUUID(), { 'if-match': value }), 404, 'TASK_NOT_FOUND')
    }
  })

  test('of 12 changes racing with the same If-Match one is made, and the others are told what it left', async () => {
    const { user, task } = await makeChangedTask()
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => change(user, task.id, { 'if-match': '"3"' })),
    )
    const made = answers.filter(({ status }) => status === 200)
    assert.equal(made.length, 1)
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      if (answersBefore) assertError(answer, 404, 'TASK_NOT_FOUND')
      else {
        assertError(answer, 412, 'PRECONDITION_FAILED', [['headers/if-match', 'mismatch']])
        assert.deepEqual(answer.body.error.details[0].current, made[0]?.body.data)
      }
    }
  })
}
