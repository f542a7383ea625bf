import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readlinkSync, truncateSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { after, test } from 'node:test'
import { fullLine, importLines, readLines } from '../api/transfers.ts'
import { assertError } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { openProxy } from '../support/proxy.ts'

// An export that loses what it is made from never looks complete.

const tasks = 3_000
const testDatabase = await createTestDatabase()
const proxy = await openProxy(testDatabase.connection)
const connection = { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port }
const service = await startApp({ testDatabase: { ...testDatabase, connection } })
const user = service.as(newUser())
const description = 'x'.repeat(2_000)
await importLines(
  user,
  Array.from({ length: tasks }, () => fullLine({ description })),
)
after(async () => {
  await service.stop()
  await proxy.close()
  await testDatabase.drop()
})

/** The head of an answer of 6 MB, of which no more is read than comes by itself. */
async function beginExport(): Promise<IncomingMessage> {
  const headers = { authorization: `Bearer ${user.token}` }
  const [response] = await once(get(`${service.url}/api/me/export`, { headers }), 'response')
  assert.equal(response.statusCode, 200)
  return response
}

test('the connection of the database is cut within each of some pages: it is begun anew, and is whole', async () => {
  for (let cut = 0; cut < 5; cut++) {
    const isCut = proxy.cutAnswer('statement')
    const [answer] = await Promise.all([user.get('/api/me/export'), isCut])
    assert.equal(answer.status, 200)
    const ids = readLines(answer.text).map(({ id }) => id)
    assert.equal(ids.length, tasks)
    assert.equal(new Set(ids).size, tasks, 'nothing of the first attempt is left')
  }
})

test('the database is gone for good half-way: an error, and no part of the export', async () => {
  const isKept = proxy.keepBack('answer', /export_tasks/)
  const sent = user.get('/api/me/export')
  await isKept
  proxy.refuse()
  const answer = await sent
  assertError(answer, 503, 'DATABASE_UNAVAILABLE')
  assert.equal(answer.headers.get('content-disposition'), null)
  proxy.forward()
})

test('the database goes while the answer is sent: what has begun is whole', async () => {
  const response = await beginExport()
  proxy.refuse()
  const text = (await response.toArray()).join('')
  proxy.forward()
  assert.equal(text.length, Number(response.headers['content-length']))
  assert.equal(readLines(text).length, tasks)
})

test('what is to be sent is lost on the way: the connection is cut, and the answer does not look complete', {
  skip: process.platform !== 'linux' && 'only Linux lets a file without a name be reached',
}, async () => {
  const response = await beginExport()
  const open = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('backend-core-transfer-')
    } catch {
      // Closed meanwhile.
      return false
    }
  })
  assert.equal(open.length, 1)
  truncateSync(`/proc/self/fd/${open[0]}`)
  await assert.rejects(response.toArray(), { code: 'ECONNRESET' })
  assert.equal(response.complete, false)
})
