import assert from 'node:assert/strict'
import { createServer, get, type ServerResponse } from 'node:http'
import { after, test } from 'node:test'
import { Live } from '../../src/tasks/live.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { eventually } from '../support/process.ts'

const { database, as } = await startApp()

/** Answers that a handler was given, with what their clients have received. */
async function openAnswers(count: number): Promise<{ response: ServerResponse; received: () => string }[]> {
  const responses: ServerResponse[] = []
  const server = createServer((_request, response) => {
    responses.push(response)
    response.flushHeaders()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => server.close().closeAllConnections())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const texts: string[] = []
  for (let at = 0; at < count; at++) {
    get({ port: address.port, agent: false }, (answer) => {
      answer
        .on('error', () => {})
        .on('data', (chunk) => {
          texts[at] = `${texts[at] ?? ''}${chunk}`
        })
    }).on('error', () => {})
    await eventually(async () => responses.length === at + 1)
  }
  return responses.map((response, at) => ({ response, received: () => texts[at] ?? '' }))
}

test('the end of a stream that never began leaves the next stream of its user alone', async () => {
  const user = as(newUser())
  const log = { info() {}, warn() {}, error() {} }
  // It never asks by itself: a change reaches a stream by being woken alone.
  const live = new Live({ database, log, pollMs: 2 ** 30 })
  after(() => live.close())
  const [gone, other] = await openAnswers(2)
  assert.ok(gone !== undefined && other !== undefined)
  const open = (response: ServerResponse) =>
    live.open({
      userId: user.userId,
      position: undefined,
      tokenRefusedFromMs: Number.POSITIVE_INFINITY,
      begin: () => response,
    })
  // Its client is gone, and that its connection is closed will be told only after the other has begun.
  Object.defineProperty(gone.response, 'destroyed', { value: true })
  await open(gone.response)
  await open(other.response)
  gone.response.emit('close')
  await makeTask(user)
  live.wake(user.userId)
  await eventually(async () => other.received().includes('event: change'))
})
