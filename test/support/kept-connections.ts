import assert from 'node:assert/strict'
import { Agent, get, type IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Twenty clients that ask for the list again and again, each over one connection that is kept open, with pauses in which it is
 * idle, until an answer says that it is the last. Every answer must be 200.
 *
 * @returns when so many answers have come, and when the last client has stopped
 */
export function askUntilClosed(url: string, token: string, enough: number) {
  const { hostname, port } = new URL(url)
  const answered = Promise.withResolvers<void>()
  let answers = 0
  const clients = Array.from({ length: 20 }, async (_, at) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (;;) {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
      const headers = { authorization: `Bearer ${token}` }
      get({ hostname, port, path: '/api/me/tasks', agent, headers }, resolve).on('error', reject)
      const answer = await promise
      for await (const _chunk of answer);
      assert.equal(answer.statusCode, 200)
      if (++answers === enough) answered.resolve()
      if (answer.headers.connection === 'close') return agent.destroy()
      await delay((at * 10) % 150)
    }
  })
  return { answered: answered.promise, stopped: Promise.all(clients) }
}
