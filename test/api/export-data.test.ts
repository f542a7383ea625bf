import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { assertError } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp, type TestService } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { eventually } from '../support/process.ts'
import { assertReport, exportTasks, fullLine, importLines, readLines, temporaryFiles } from './transfers.ts'

const service = await startApp({ poolMax: 2 })

const noFiles = () => eventually(async () => temporaryFiles().length === 0)

test('an export has every task of the user, the trash included, one a line, by id', async () => {
  const user = service.as(newUser())
  await makeTask(service.as(newUser()))
  const tasks = [
    await makeTask(user),
    await makeTask(user, { completed: true, description: 'a\nb' }),
    await makeTask(user),
  ]
  await user.delete(`/api/me/tasks/${tasks[1]?.id}`)
  const answer = await user.get('/api/me/export')
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'application/x-ndjson')
  assert.equal(answer.headers.get('content-disposition'), 'attachment; filename="tasks.ndjson"')
  assert.equal(answer.headers.get('content-length'), String(Buffer.byteLength(answer.text)))
  assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
  const lines = readLines(answer.text)
  assert.deepEqual(
    lines.map(({ id }) => id),
    tasks.map(({ id }) => id).sort(),
  )
  const [live, trashed] = [
    lines.find(({ id }) => id === tasks[0]?.id),
    lines.find(({ id }) => id === tasks[1]?.id),
  ]
  assert.deepEqual(live, { ...tasks[0], deleted_at: null })
  assert.ok(trashed)
  assert.deepEqual(trashed, {
    ...tasks[1],
    version: 4,
    updated_at: trashed.deleted_at,
    deleted_at: trashed.updated_at,
  })
  await noFiles()
})

test('an export of nothing is empty', async () => {
  const answer = await service.as(newUser()).get('/api/me/export')
  assert.deepEqual([answer.status, answer.text, answer.headers.get('content-length')], [200, '', '0'])
})

test('HEAD answers the headers, but for the length, and reads nothing', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  const before = service.database.roundTrips
  const answer = await user.request('HEAD', '/api/me/export')
  assert.deepEqual([answer.status, answer.text, answer.headers.get('content-length')], [200, '', null])
  assert.equal(answer.headers.get('content-type'), 'application/x-ndjson')
  assert.equal(answer.headers.get('content-disposition'), 'attachment; filename="tasks.ndjson"')
  assert.equal(service.database.roundTrips, before)
  assertError(await user.get('/api/me/export?x=1'), 422, 'VALIDATION_FAILED', [
    ['query/x', 'additionalProperties'],
  ])
})

test('an export of many pages has each task once', async () => {
  const user = service.as(newUser())
  const lines = Array.from({ length: 1_501 }, (_, n) => fullLine({ title: `${n}` }))
  for (const count of [499, 500, 501, 1_000, 1_001, 1_501]) {
    await importLines(user, lines.slice(0, count))
    const ids = (await exportTasks(user)).map(({ id }) => id)
    assert.deepEqual(
      ids,
      lines
        .slice(0, count)
        .map(({ id }) => id)
        .sort(),
    )
  }
})

test('an export is one moment, whatever is written meanwhile', async () => {
  const user = service.as(newUser())
  const lines = Array.from({ length: 1_200 }, () => fullLine())
  await importLines(user, lines)
  let isOver = false
  const writing = (async () => {
    for (let n = 0; !isOver; n++) {
      const renamed = lines.map((line) => ({ ...line, title: `Round ${n}` }))
      assertReport(await importLines(user, renamed), [0, 1_200, 0])
    }
  })()
  const seen = new Set<unknown>()
  try {
    // Until several rounds were seen, so that some exports ran beside an import.
    await eventually(async () => {
      const exported = await exportTasks(user)
      const titles = new Set(exported.map(({ title }) => title))
      assert.deepEqual([exported.length, titles.size], [1_200, 1])
      for (const title of titles) seen.add(title)
      return seen.size > 5
    })
  } finally {
    isOver = true
    await writing
  }
})

/** Tasks that together are far more than the buffers between the service and a client. */
async function addLargeTasks(
  { testDatabase }: TestService,
  { userId }: Client,
  count: number,
): Promise<void> {
  await testDatabase.query('insert into app.change_counters (user_id, version) values ($1, $2)', [
    userId,
    count,
  ])
  await testDatabase.query(
    `insert into app.tasks (user_id, id, title, description, completed, created_at, updated_at, version)
    select $1, gen_random_uuid(), 'Large', repeat('x', 10000), false, now(), now(), n from generate_series(1, $2::int) n`,
    [userId, count],
  )
}

/** Begins an export, and reads nothing of its body. */
async function beginExport(url: string, user: Client): Promise<IncomingMessage> {
  const sent = get(`${url}/api/me/export`, { headers: { authorization: `Bearer ${user.token}` } })
  const [response] = await once(sent, 'response')
  return response
}

test('a client that reads slowly holds no connection, and gets the whole', async () => {
  const own = await startApp({ poolMax: 1 })
  const user = own.as(newUser())
  await addLargeTasks(own, user, 3_000)
  const response = await beginExport(own.url, user)
  assert.equal((await user.get('/api/me/tasks?limit=1')).status, 200)
  await makeTask(user, { title: 'Meanwhile' })
  const text = (await response.toArray()).join('')
  assert.equal(text.length, Number(response.headers['content-length']))
  assert.equal(readLines(text).length, 3_000)
  await noFiles()
})

test('a client that goes away frees its file and its place', async () => {
  const user = service.as(newUser())
  await addLargeTasks(service, user, 3_000)
  for (let n = 0; n < 3; n++) {
    const responses = [await beginExport(service.url, user), await beginExport(service.url, user)]
    assertError(await user.get('/api/me/export'), 503, 'OVERLOADED')
    for (const response of responses) response.destroy()
    await noFiles()
  }
  // Before the answer has begun, too.
  for (let n = 0; n < 6; n++) {
    const sent = get(`${service.url}/api/me/export`, { headers: { authorization: `Bearer ${user.token}` } })
    sent.on('error', () => {})
    await eventually(async () => process.platform !== 'linux' || temporaryFiles().length > 0)
    sent.destroy()
    await noFiles()
  }
  assert.equal((await exportTasks(user)).length, 3_000)
})

test('when the database is away the answer is an error, not half an export', async () => {
  const testDatabase = await createTestDatabase()
  const own = await startApp({ testDatabase })
  await testDatabase.drop()
  assertError(await own.as(newUser()).get('/api/me/export'), 503, 'DATABASE_UNAVAILABLE')
  await noFiles()
})
