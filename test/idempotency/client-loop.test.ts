import assert from 'node:assert/strict'
import { createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { assertPage } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'
import { readPage } from '../support/markdown.ts'

// The client's loop of docs/retries.md, as it stands there.

const service = await startApp()

type Send = (
  url: string,
  options: { method: string; token: string; body: unknown; headers?: Record<string, string> },
) => Promise<{ status: number; etag: string; answer: { data: { id: string } } }>

async function readLoop(): Promise<Send> {
  const code = readPage('docs/retries.md').blocks.find(({ text }) =>
    text.startsWith('async function send('),
  )?.text
  assert.ok(code !== undefined)
  const module = await import(`data:text/javascript,${encodeURIComponent(`${code}\nexport { send }`)}`)
  return module.send
}

/** A network in front of the service that loses the first request, then the answer to the second. */
async function startLossyFront(): Promise<{ readonly url: string; readonly seen: () => number }> {
  let seen = 0
  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming
    const attempt = ++seen
    if (attempt === 1) return incoming.socket.destroy()
    const onward = forward(`${service.url}${url}`, { method, headers }, (answer) => {
      if (attempt === 2) {
        answer.resume().on('end', () => incoming.socket.destroy())
      } else {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(outgoing)
      }
    })
    incoming.pipe(onward)
    return undefined
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  after(() => server.closeAllConnections())
  after(() => server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, seen: () => seen }
}

test('a request and an answer are lost on the way: the task is there once, and the client has it', async () => {
  const send = await readLoop()
  const user = service.as(newUser())
  const front = await startLossyFront()
  const { status, etag, answer } = await send(`${front.url}/api/me/tasks`, {
    method: 'POST',
    token: user.token,
    body: { title: 'Buy milk' },
  })
  assert.deepEqual([status, etag, front.seen()], [201, '"1"', 3])
  assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [answer.data])
})
