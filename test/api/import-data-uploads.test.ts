import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { assertError } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { eventually } from '../support/process.ts'
import { requestBytes, sendRaw } from '../support/raw-http.ts'
import {
  assertReport,
  exportTasks,
  fullLine,
  importLines,
  ndjson,
  storedOf,
  temporaryFiles,
} from './transfers.ts'

const service = await startApp({ poolMax: 1 })

/** Waits until no temporary file is there or open. */
const noFiles = () => eventually(async () => temporaryFiles().length === 0)

type Upload = {
  readonly sent: ClientRequest
  readonly answer: Promise<{
    status: number
    headers: IncomingMessage['headers']
    body: { error: { code: string } }
  }>
}

/** Begins an import whose body comes in pieces. */
function beginUpload(user: Client, headers: Record<string, string | number> = {}): Upload {
  const sent = request(`${service.url}/api/me/import`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.token}`, 'content-type': ndjson, ...headers },
  })
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<Upload['answer']>>()
  sent.on('response', async (response) => {
    const text = (await response.toArray()).join('')
    resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) })
  })
  sent.on('error', reject)
  promise.catch(() => {})
  return { sent, answer: promise }
}

const lines = (count: number) => `${JSON.stringify({ title: 'x' })}\n`.repeat(count)

/** Waits until as many uploads have their file. */
const uploading = (count: number) =>
  eventually(async () => process.platform !== 'linux' || temporaryFiles().length >= count)

test('an upload that is cut off writes nothing and leaves no file', async () => {
  const user = service.as(newUser())
  for (const headers of [{}, { 'content-length': 1_000_000 }]) {
    const { sent, answer } = beginUpload(user, headers)
    sent.write(lines(1_000))
    await uploading(1)
    sent.destroy()
    await assert.rejects(answer)
    await noFiles()
  }
  const ended = await sendRaw(
    service.url,
    requestBytes(
      [
        'POST /api/me/import HTTP/1.1',
        'Host: test',
        `Authorization: Bearer ${user.token}`,
        `Content-Type: ${ndjson}`,
        'Content-Length: 100000',
      ],
      lines(10),
    ),
    { afterwards: 'half-close' },
  )
  assert.ok(ended.every(({ status }) => status === 400))
  await noFiles()
  assert.deepEqual(await storedOf(service, user), [])
})

test('a slow upload holds no connection and no lock, and counts what comes meanwhile', async () => {
  const user = service.as(newUser())
  const line = fullLine()
  const { sent, answer } = beginUpload(user)
  sent.write(`${JSON.stringify(line)}\n`)
  await uploading(1)
  // The service has one connection.
  await makeTask(user, { id: line.id, title: 'Meanwhile' })
  await makeTask(user)
  sent.end(`${JSON.stringify({ title: 'Last' })}\n`)
  const { body } = await answer
  assert.deepEqual(body, {
    ...body,
    data: { dry_run: false, lines: 2, created: 1, updated: 1, unchanged: 0 },
  })
  const tasks = await exportTasks(user)
  assert.equal(tasks.length, 3)
  assert.equal(tasks.find(({ id }) => id === line.id)?.title, line.title)
  await noFiles()
})

test('what says that it is larger than 64 MiB is refused before it is sent', async () => {
  const user = service.as(newUser())
  const [answer] = await sendRaw(
    service.url,
    requestBytes([
      'POST /api/me/import?x=1 HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${user.token}`,
      `Content-Type: ${ndjson}`,
      `Content-Length: ${64 * 1_048_576 + 1}`,
    ]),
    { afterwards: 'half-close' },
  )
  assert.ok(answer)
  assertError(answer, 413, 'BODY_TOO_LARGE')
  assert.equal(answer.headers.get('connection'), 'close')
})

test('what grows larger than 64 MiB is refused while it is sent, and the answer reaches the client', async () => {
  const user = service.as(newUser())
  const { sent, answer } = beginUpload(user)
  sent.setMaxListeners(0)
  const piece = ' '.repeat(1_048_576)
  for (let n = 0; n < 66; n++) {
    // A client that has its answer need not send on.
    if (sent.destroyed) break
    if (!sent.write(piece)) await Promise.race([once(sent, 'drain'), once(sent, 'close')])
  }
  sent.end()
  const { status, body, headers } = await answer
  assert.deepEqual([status, body.error.code, headers.connection], [413, 'BODY_TOO_LARGE', 'close'])
  await noFiles()
})

test('an answer before the end of the body reaches a client that sends on, and closes the connection', async () => {
  const user = service.as(newUser())
  const { sent, answer } = beginUpload(user)
  sent.write('{\n'.repeat(100))
  const { status, body, headers } = await answer
  assert.deepEqual([status, body.error.code, headers.connection], [422, 'VALIDATION_FAILED', 'close'])
  sent.end(lines(50_000))
  await noFiles()
  assert.deepEqual(await storedOf(service, user), [])
})

test('a client that reads nothing before it has sent everything gets its answer too', async () => {
  const user = service.as(newUser())
  const piece = Buffer.from(' '.repeat(1_048_575).concat('\n'))
  for (const bad of ['{\n'.repeat(100), '{}\n']) {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
    socket.pause()
    const head = [
      'POST /api/me/import HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${user.token}`,
      `Content-Type: ${ndjson}`,
      `Content-Length: ${bad.length + 40 * piece.length}`,
      'Connection: close',
    ]
    socket.write(requestBytes(head, bad))
    for (let n = 0; n < 40; n++) if (!socket.write(piece)) await once(socket, 'drain')
    const text = (await socket.toArray()).join('')
    assert.match(text, /^HTTP\/1\.1 422 [\s\S]*VALIDATION_FAILED/)
  }
  await noFiles()
})

test('what follows an upload that was refused half-way is not taken for a request', async () => {
  const user = service.as(newUser())
  const head = (length: number) => [
    'POST /api/me/import HTTP/1.1',
    'Host: test',
    `Authorization: Bearer ${user.token}`,
    `Content-Type: ${ndjson}`,
    `Content-Length: ${length}`,
  ]
  const [bad, smuggled] = [Buffer.from('{\n'.repeat(200)), requestBytes(head(14), '{"title":"x"}\n')]
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
  socket.write(requestBytes(head(bad.length + smuggled.length), bad))
  let received = ''
  socket.on('data', (chunk) => {
    if (received === '') socket.write(smuggled)
    received += chunk
  })
  await once(socket, 'close')
  assert.deepEqual(received.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 422'])
  assert.deepEqual(await storedOf(service, user), [])
})

test('after an upload that was read to its end the connection can be used again, whatever the answer', async () => {
  const user = service.as(newUser())
  const post = (body: string, ...more: string[]) =>
    requestBytes(
      [
        'POST /api/me/import HTTP/1.1',
        'Host: test',
        `Authorization: Bearer ${user.token}`,
        `Content-Type: ${ndjson}`,
        `Content-Length: ${body.length}`,
        ...more,
      ],
      body,
    )
  const bytes = Buffer.concat([post('{\n'), post(lines(2), 'Connection: close')])
  const answers = await sendRaw(service.url, bytes)
  assert.deepEqual(
    answers.map(({ status }) => status),
    [422, 200],
  )
  assert.equal((await exportTasks(user)).length, 2)
})

test('a third transfer of one user, and a ninth of all, is 503 until one ends', async () => {
  const users = Array.from({ length: 5 }, () => service.as(newUser()))
  const [first, second, third, fourth, fifth] = users
  assert.ok(first && second && third && fourth && fifth)
  const uploads = [beginUpload(first), beginUpload(first)]
  for (const { sent } of uploads) sent.write('\n')
  await uploading(2)
  const refused = await importLines(first, [fullLine()])
  assertError(refused, 503, 'OVERLOADED')
  assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assertError(await first.get('/api/me/export'), 503, 'OVERLOADED')
  assertReport(await importLines(second, [fullLine()]), [1, 0, 0])
  for (const user of [second, second, third, third, fourth, fourth]) {
    const upload = beginUpload(user)
    upload.sent.write('\n')
    uploads.push(upload)
  }
  await uploading(8)
  assertError(await importLines(fifth, [fullLine()]), 503, 'OVERLOADED')
  assertError(await fifth.get('/api/me/export'), 503, 'OVERLOADED')
  assert.equal((await fifth.get('/api/me/tasks')).status, 200)
  for (const { sent } of uploads) sent.end()
  for (const { answer } of uploads) assert.equal((await answer).status, 200)
  assertReport(await importLines(fifth, [fullLine()]), [1, 0, 0])
  assertReport(await importLines(first, [fullLine()]), [1, 0, 0])
  await noFiles()
})

test('where no temporary file can be made, imports and exports fail and the rest goes on', async () => {
  const user = service.as(newUser())
  const { TMPDIR } = process.env
  process.env.TMPDIR = '/nonexistent'
  try {
    assertError(await importLines(user, [fullLine()]), 500, 'INTERNAL_ERROR')
    assertError(await user.get('/api/me/export'), 500, 'INTERNAL_ERROR')
    await makeTask(user)
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  }
  assertReport(await importLines(user, [fullLine()]), [1, 0, 0])
})
