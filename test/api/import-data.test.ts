import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { assertReport, exportTasks, fullLine, importLines, kept, ndjson, storedOf } from './transfers.ts'

const service = await startApp()

const counterOf = async ({ userId }: Client) => {
  const rows = await service.testDatabase.query<{ version: number }>(
    'select version::int from app.change_counters where user_id = $1',
    [userId],
  )
  return rows[0]?.version
}

test('an import creates its tasks as their lines have them, at consecutive versions in their order', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  const lines = [
    fullLine(),
    fullLine({ completed: false, completed_at: null, description: null }),
    fullLine({ deleted_at: '2022-03-04T05:06:07.089Z' }),
  ]
  assertReport(await importLines(user, lines), [3, 0, 0])
  const exported = new Map((await exportTasks(user)).map((task) => [task.id, task]))
  assert.equal(exported.size, 4)
  for (const [place, line] of lines.entries()) {
    assert.deepEqual(exported.get(line.id), { ...line, user_id: user.userId, version: 2 + place })
  }
  assert.equal(await counterOf(user), 4)
})

test('a line without an id is always new', async () => {
  const user = service.as(newUser())
  for (let n = 1; n <= 2; n++) {
    assertReport(await importLines(user, [{ title: 'Same' }, { title: 'Same' }]), [2, 0, 0])
    assert.equal((await exportTasks(user)).length, 2 * n)
  }
})

test('what a line leaves out is as in a create, and a time that it leaves out is now', async () => {
  const user = service.as(newUser())
  const from = Date.now() - 1_000
  const id = randomUUID()
  assertReport(
    await importLines(user, [
      { id: id.toUpperCase(), title: '  Spaces  ' },
      { title: 'Done', completed: true },
    ]),
    [2, 0, 0],
  )
  const tasks = await exportTasks(user)
  const [plain, done] = [tasks.find((task) => task.id === id), tasks.find((task) => task.id !== id)]
  assert.ok(plain && done)
  assert.deepEqual(
    [plain.title, plain.description, plain.completed, plain.completed_at, plain.deleted_at, plain.version],
    ['Spaces', null, false, null, null, 1],
  )
  for (const time of [plain.created_at, plain.updated_at, done.completed_at]) {
    const ms = Date.parse(String(time))
    assert.ok(ms >= from && ms <= Date.now() + 1_000, String(time))
  }
  assert.equal(plain.created_at, plain.updated_at)
})

test('an id that exists is replaced where it differs, in the list and in the trash, and left alone where it does not', async () => {
  const user = service.as(newUser())
  const [same, changed, trashed, revived] = [
    fullLine(),
    fullLine(),
    fullLine(),
    fullLine({ deleted_at: '2022-01-01T00:00:00.000Z' }),
  ]
  const other = await makeTask(user)
  assertReport(await importLines(user, [same, changed, trashed, revived]), [4, 0, 0])
  const before = new Map((await exportTasks(user)).map((task) => [task.id, task]))
  const lines = [
    { ...same, user_id: 'somebody else', version: 99 },
    { ...changed, title: 'Other', completed: false, completed_at: null },
    { ...trashed, deleted_at: '2022-02-02T00:00:00.000Z' },
    { ...revived, deleted_at: null },
  ]
  assertReport(await importLines(user, lines), [0, 3, 1])
  const after = new Map((await exportTasks(user)).map((task) => [task.id, task]))
  assert.deepEqual(after.get(same.id), before.get(same.id), 'its version too')
  assert.deepEqual(after.get(other.id), before.get(other.id), 'what the import does not name stays')
  for (const [place, line] of lines.slice(1).entries()) {
    assert.deepEqual(after.get(line.id), { ...line, user_id: user.userId, version: 6 + place })
  }
  assert.equal((await user.get(`/api/me/tasks/${trashed.id}`)).status, 404)
  assert.equal((await user.get(`/api/me/tasks/${revived.id}`)).status, 200)
})

for (const field of [
  'title',
  'description',
  'completed',
  'completed_at',
  'created_at',
  'updated_at',
  'deleted_at',
]) {
  test(`a line that differs in ${field} alone replaces the task`, async () => {
    const user = service.as(newUser())
    const line = fullLine()
    assertReport(await importLines(user, [line]), [1, 0, 0])
    const values: Record<string, unknown> = {
      title: 'imported',
      description: 'With a Text',
      completed: false,
    }
    const next = {
      ...line,
      [field]: values[field] ?? '2023-01-01T00:00:00.001Z',
      ...(field === 'completed' && { completed_at: null }),
    }
    assertReport(await importLines(user, [next]), [0, 1, 0])
    assert.deepEqual((await exportTasks(user)).map(kept), [next])
  })
}

test('times that a line leaves out are kept where the task is there; updated_at moves when it changes', async () => {
  const user = service.as(newUser())
  const line = fullLine()
  await importLines(user, [line])
  const { completed_at: _, created_at: __, updated_at: ___, deleted_at: ____, ...short } = line
  assertReport(await importLines(user, [short]), [0, 0, 1])
  assertReport(await importLines(user, [{ ...short, title: 'Other' }]), [0, 1, 0])
  const [task] = await exportTasks(user)
  assert.ok(task)
  assert.deepEqual([task.completed_at, task.created_at], [line.completed_at, line.created_at])
  assert.ok(Date.parse(String(task.updated_at)) > Date.now() - 60_000)
})

test('an updated_at that lies ahead still moves with a change', async () => {
  const user = service.as(newUser())
  const line = fullLine({ updated_at: '2090-01-01T00:00:00.000Z' })
  await importLines(user, [line])
  assertReport(await importLines(user, [{ ...line, title: 'Other', updated_at: undefined }]), [0, 1, 0])
  const [task] = await exportTasks(user)
  assert.equal(task?.updated_at, '2090-01-01T00:00:00.001Z')
  const changed = await user.patch(`/api/me/tasks/${line.id}`, { title: 'Third' })
  assert.equal(changed.body.data.updated_at, '2090-01-01T00:00:00.002Z')
})

test('a time with an offset, or without fractions, is the same time in UTC', async () => {
  const user = service.as(newUser())
  const line = fullLine({ created_at: '2019-01-01T01:30:00+01:30', updated_at: '2021-06-15t12:00:00.5z' })
  await importLines(user, [line])
  const [task] = await exportTasks(user)
  assert.deepEqual(
    [task?.created_at, task?.updated_at],
    ['2019-01-01T00:00:00.000Z', '2021-06-15T12:00:00.500Z'],
  )
  assertReport(await importLines(user, [line]), [0, 0, 1])
})

test('of two lines with one id the later wins, also over a task that was there', async () => {
  const user = service.as(newUser())
  const line = fullLine()
  assertReport(
    await importLines(user, [line, fullLine(), { ...line, title: 'Second' }, { ...line, title: 'Second' }]),
    [2, 1, 1],
  )
  const task = (await exportTasks(user)).find(({ id }) => id === line.id)
  assert.deepEqual([task?.title, task?.version], ['Second', 3])
  assertReport(
    await importLines(user, [line, { ...line, id: line.id.toUpperCase(), title: 'Third' }]),
    [0, 2, 0],
  )
  assert.equal((await exportTasks(user)).find(({ id }) => id === line.id)?.title, 'Third')
})

test('more lines than one statement takes are imported in their order', async () => {
  const user = service.as(newUser())
  const lines = Array.from({ length: 1_201 }, (_, n) => fullLine({ title: `Task ${n}` }))
  assertReport(await importLines(user, lines), [1_201, 0, 0])
  const versions = new Map((await exportTasks(user)).map(({ title, version }) => [title, version]))
  assert.ok(lines.every(({ title }, n) => versions.get(String(title)) === n + 1))
  assertReport(await importLines(user, lines.toReversed()), [0, 0, 1_201])
  assert.equal(await counterOf(user), 1_201)
})

test('an import with an id that was removed for good creates it again, and it is no deletion any more', async () => {
  const user = service.as(newUser())
  const [again, gone] = [fullLine(), randomUUID()]
  await makeTask(user)
  await service.testDatabase.query(
    `insert into app.deletions (user_id, id, version, removed_at) values ($1, $2, 1000001, now()), ($1, $3, 1000002, now())`,
    [user.userId, again.id, gone],
  )
  assertReport(await importLines(user, [again]), [1, 0, 0])
  const left = await service.testDatabase.query('select id from app.deletions where user_id = $1', [
    user.userId,
  ])
  assert.deepEqual(left, [{ id: gone }])
})

test('a dry run tells what the import would do, and writes nothing', async () => {
  const user = service.as(newUser())
  const lines = [fullLine(), fullLine()]
  for (const first of [lines, [...lines, fullLine()]]) {
    const before = await storedOf(service, user)
    const dry = await importLines(user, first, { query: '?dry_run=true' })
    assert.deepEqual(await storedOf(service, user), before)
    const wet = await importLines(user, first, { query: '?dry_run=false' })
    assert.deepEqual(dry.body.data, { ...wet.body.data, dry_run: true })
  }
  assertReport(
    await importLines(user, [{ ...lines[0], title: 'x' }, ...lines.slice(1)], { query: '?dry_run=true' }),
    [0, 1, 1],
    true,
  )
})

test('empty lines, CRLF and a missing end of the last line are taken as they are', async () => {
  const user = service.as(newUser())
  const line = JSON.stringify(fullLine())
  const raw = `\n \t\r\n${line}\r\n\n${JSON.stringify(fullLine())}`
  const headers = { 'content-type': 'application/x-ndjson; charset=utf-8' }
  assertReport(await user.request('POST', '/api/me/import', { raw, headers }), [2, 0, 0])
})

test('an import of nothing does nothing: what an export of nothing gives', async () => {
  const user = service.as(newUser())
  for (const raw of ['', '\n', ' \r\n\n']) {
    const answer = await user.request('POST', '/api/me/import', { raw, headers: { 'content-type': ndjson } })
    assertReport(answer, [0, 0, 0])
  }
  assert.deepEqual(await storedOf(service, user), [])
})

test('only NDJSON in UTF-8 is taken, and nowhere else', async () => {
  const user = service.as(newUser())
  const line = JSON.stringify(fullLine())
  for (const type of [
    'application/json',
    'application/merge-patch+json',
    'text/plain',
    'application/ndjson',
    'x',
  ]) {
    const answer = await user.request('POST', '/api/me/import', {
      raw: line,
      headers: { 'content-type': type },
    })
    assertError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')
  }
  for (const headers of [{ 'content-encoding': 'gzip' }, { 'content-type': `${ndjson}; charset=latin1` }]) {
    assertError(await importLines(user, [line], { headers }), 415, 'UNSUPPORTED_MEDIA_TYPE')
  }
  assertError(await user.request('POST', '/api/me/import'), 415, 'UNSUPPORTED_MEDIA_TYPE')
  for (const [method, path] of [
    ['POST', '/api/me/tasks'],
    ['PATCH', `/api/me/tasks/${randomUUID()}`],
    ['DELETE', '/api/me/data'],
  ] as const) {
    const answer = await user.request(method, path, {
      raw: line,
      headers: { 'content-type': ndjson, confirm: 'erase' },
    })
    assertError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')
  }
  assert.deepEqual(await storedOf(service, user), [])
})

test('unknown parameters, a dry_run that is neither true nor false and an idempotency key are refused, all at once', async () => {
  const user = service.as(newUser())
  const headers = { 'idempotency-key': 'k' }
  assertError(
    await importLines(user, [{ title: '' }], { query: '?dry_run=1&x=1', headers }),
    422,
    'VALIDATION_FAILED',
    [
      ['query/dry_run', 'type'],
      ['query/x', 'additionalProperties'],
      ['headers/idempotency-key', 'pattern'],
    ],
  )
  assert.deepEqual(await storedOf(service, user), [])
})

test('the checks come in their order: token, path, type, size, parameters, lines', async () => {
  const user = service.as(newUser())
  const raw = 'not json\n'
  const send = (client: Client, path: string, headers: Record<string, string>) =>
    client.request('POST', path, { raw, headers })
  const bad = { 'content-type': 'text/plain' }
  assertError(await send(service.anonymous(), '/api/other/import?x=1', bad), 401, 'TOKEN_MISSING')
  assertError(await send(user, '/api/other/import?x=1', bad), 403, 'FORBIDDEN')
  assertError(await send(user, '/api/me/import?x=1', bad), 415, 'UNSUPPORTED_MEDIA_TYPE')
  assertError(await send(user, '/api/me/import?x=1', { 'content-type': ndjson }), 422, 'VALIDATION_FAILED', [
    ['query/x', 'additionalProperties'],
  ])
  assert.equal((await user.put('/api/me/import', {})).status, 405)
})
