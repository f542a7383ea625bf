import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertBatch, assertError, assertPage, assertTask, outcomesOf } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'

// What each operation does, alike in both modes, where none fails.

const service = await startApp()
const modes = ['atomic', 'independent'] as const
const path = '/api/me/tasks/batch'

/** The user's counter, as the next write shows it. */
async function nextVersion(user: Client): Promise<number> {
  return (await makeTask(user)).version
}

for (const mode of modes) {
  const batch = (user: Client, ...operations: unknown[]) => user.post(path, { mode, operations })

  test(`${mode}: creates, updates and deletes are made in order, a version each`, async () => {
    const user = service.as(newUser())
    const kept = await makeTask(user, { title: 'Kept', description: 'Text' })
    const gone = await makeTask(user, { title: 'Gone' })
    const id = randomUUID()
    const [made, changed, deleted, full, ...others] = assertBatch(
      await batch(
        user,
        { op: 'create', task: { title: ' Made ' } },
        { op: 'update', id: kept.id, changes: { title: ' Changed ', completed: true } },
        { op: 'delete', id: gone.id },
        { op: 'create', task: { id: id.toUpperCase(), title: 'Full', description: ' x ', completed: true } },
      ),
    )
    assert.deepEqual(others, [])
    assert.deepEqual([made?.status, changed?.status, deleted?.status, full?.status], [201, 200, 200, 201])
    assertShape(made?.task, {
      title: 'Made',
      description: null,
      completed: false,
      completed_at: null,
      version: 3,
    })
    assert.equal(made?.task?.user_id, user.userId)
    assertShape(changed?.task, {
      id: kept.id,
      title: 'Changed',
      description: 'Text',
      completed: true,
      version: 4,
    })
    assert.deepEqual(deleted?.task, gone)
    assertShape(full?.task, { id, title: 'Full', description: ' x ', completed: true, version: 6 })
    assert.equal(full?.task?.completed_at, full?.task?.created_at)
    const { tasks } = assertPage(await user.get('/api/me/tasks'))
    assert.deepEqual(tasks, [full?.task, made?.task, changed?.task])
    assertError(await user.get(`/api/me/tasks/${gone.id}`), 404, 'TASK_NOT_FOUND')
    assert.equal(await nextVersion(user), 7)
  })

  test(`${mode}: operations on one task see what those before them did`, async () => {
    const user = service.as(newUser())
    const id = randomUUID()
    const items = assertBatch(
      await batch(
        user,
        { op: 'create', task: { id, title: 'One' } },
        { op: 'create', task: { id, title: 'One', completed: false } },
        { op: 'update', id, changes: { title: 'Two' }, if_version: 1 },
        { op: 'update', id: id.toUpperCase(), changes: { title: 'Two' }, if_version: 2 },
        { op: 'create', task: { id: id.toUpperCase(), title: 'Two', description: null } },
        { op: 'delete', id: id.toUpperCase(), if_version: 2 },
        { op: 'create', task: { title: 'Other' } },
      ),
    )
    assert.deepEqual(outcomesOf(items), [[201], [200], [200], [200], [200], [200], [201]])
    assert.deepEqual(
      items.map(({ task }) => [task?.title, task?.version]),
      [
        ['One', 1],
        ['One', 1],
        ['Two', 2],
        ['Two', 2],
        ['Two', 2],
        ['Two', 2],
        ['Other', 4],
      ],
    )
    assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [items[6]?.task])
  })

  test(`${mode}: a create whose id and content are there is 200, and writes nothing`, async () => {
    const user = service.as(newUser())
    const { id } = await makeTask(user, { title: 'Before' })
    const task = assertTask(await user.patch(`/api/me/tasks/${id}`, { title: 'After', completed: true }), 200)
    const items = assertBatch(
      await batch(
        user,
        { op: 'create', task: { title: 'New' } },
        { op: 'create', task: { id, title: ' After ', description: null, completed: true } },
        { op: 'create', task: { title: 'New' } },
      ),
    )
    assert.deepEqual(
      items.map(({ status, task }) => [status, task?.version]),
      [
        [201, 3],
        [200, 2],
        [201, 4],
      ],
    )
    assert.deepEqual(items[1]?.task, task)
    assert.equal(await nextVersion(user), 5)
  })

  test(`${mode}: an update that changes nothing keeps the version, an empty one among them`, async () => {
    const user = service.as(newUser())
    const task = await makeTask(user, { title: 'Title', description: 'Text' })
    const items = assertBatch(
      await batch(
        user,
        { op: 'update', id: task.id, changes: {} },
        {
          op: 'update',
          id: task.id,
          changes: { title: 'Title ', description: 'Text', completed: false },
          if_version: 1,
        },
        { op: 'update', id: task.id, changes: { description: null } },
      ),
    )
    assert.deepEqual(items[0]?.task, task)
    assert.deepEqual(items[1]?.task, task)
    assertShape(items[2]?.task, { title: 'Title', description: null, version: 2 })
    assert.equal(await nextVersion(user), 3)
  })

  test(`${mode}: a batch in which nothing changes leaves the ETag of the list`, async () => {
    const user = service.as(newUser())
    const { id, title } = await makeTask(user)
    const before = (await user.get('/api/me/tasks')).headers.get('etag')
    const items = assertBatch(
      await batch(user, { op: 'update', id, changes: {} }, { op: 'create', task: { id, title } }),
    )
    assert.deepEqual(outcomesOf(items), [[200], [200]])
    assert.equal((await user.get('/api/me/tasks')).headers.get('etag'), before)
    assert.equal(await nextVersion(user), 2)
  })

  test(`${mode}: 100 operations are taken, of one kind and of all kinds by turns`, async () => {
    const user = service.as(newUser())
    const ids = Array.from({ length: 100 }, () => randomUUID())
    const made = assertBatch(
      await batch(user, ...ids.map((id, at) => ({ op: 'create', task: { id, title: `Task ${at}` } }))),
    )
    assert.deepEqual(
      made.map(({ status, task }) => [status, task?.id, task?.title, task?.version]),
      ids.map((id, at) => [201, id, `Task ${at}`, at + 1]),
    )
    const mixed = assertBatch(
      await batch(
        user,
        ...ids.map((id, at) => {
          if (at % 3 === 0) return { op: 'create', task: { title: `More ${at}` } }
          return at % 3 === 1 ? { op: 'update', id, changes: { completed: true } } : { op: 'delete', id }
        }),
      ),
    )
    assert.deepEqual(
      mixed.map(({ status }) => status),
      ids.map((_, at) => (at % 3 === 0 ? 201 : 200)),
    )
    for (const [at, { task }] of mixed.entries()) {
      assert.equal(task?.version, at % 3 === 2 ? at + 1 : 101 + at)
    }
    assert.equal(await nextVersion(user), 201)
  })

  test(`${mode}: creates are listed in the reverse of their order, as if sent one by one`, async () => {
    const user = service.as(newUser())
    const titles = Array.from({ length: 60 }, (_, at) => `Task ${at}`)
    assertBatch(await batch(user, ...titles.map((title) => ({ op: 'create', task: { title } }))))
    const { tasks } = assertPage(await user.get('/api/me/tasks'))
    assert.deepEqual(
      tasks.map(({ title }) => title),
      titles.toReversed(),
    )
  })
}

test('without a mode the batch is atomic', async () => {
  const user = service.as(newUser())
  const operations = [
    { op: 'create', task: { title: 'x' } },
    { op: 'delete', id: randomUUID() },
  ]
  assertError(await user.post(path, { operations }), 404, 'TASK_NOT_FOUND', [['/operations/1', 'failed']])
  assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
})

test("the user's id in the path is the same as me, and the query must be empty", async () => {
  const user = service.as(newUser())
  const body = { operations: [{ op: 'create', task: { title: 'x' } }] }
  assertBatch(await user.post(`/api/${user.userId}/tasks/batch`, body))
  assertError(await user.post(`${path}?mode=atomic`, body), 422, 'VALIDATION_FAILED', [
    ['query/mode', 'additionalProperties'],
  ])
  assertError(await user.post(`/api/${newUser()}/tasks/batch`, body), 403, 'FORBIDDEN')
  assert.equal(assertPage(await user.get('/api/me/tasks')).tasks.length, 1)
})

test('batch is no task: other methods of its path are refused, and change nothing', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  const notAnId = [['params/task_id', 'format']] as const
  assertError(await user.get(path), 422, 'VALIDATION_FAILED', notAnId)
  assert.equal((await user.request('HEAD', path)).status, 422)
  assertError(await user.put(path, { title: 'x' }), 422, 'VALIDATION_FAILED', notAnId)
  assertError(await user.patch(path, { title: 'x' }), 422, 'VALIDATION_FAILED', notAnId)
  assertError(await user.delete(path), 422, 'VALIDATION_FAILED', notAnId)
  const options = await user.request('OPTIONS', path)
  assertError(options, 405, 'METHOD_NOT_ALLOWED')
  assert.equal(options.headers.get('allow'), 'POST')
  assertError(await user.post(`${path}/`, {}), 404, 'ROUTE_NOT_FOUND')
  assert.equal(await nextVersion(user), 2)
})

function assertShape(task: object | undefined, fields: Record<string, unknown>): void {
  assert.deepEqual({ ...task, ...fields }, task)
}
