import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { Agent, type IncomingMessage, request as send } from 'node:http'
import { test } from 'node:test'
import { signToken } from '../src/cli/sign-token.ts'
import { openBalancer } from './rollout/balancer.ts'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { EventSource } from './support/event-source.ts'
import { addressOf, eventually, type RunningService, startService } from './support/process.ts'

// A longer run: ROLLOUTS=20 npm test -- test/rollout.test.ts.
const rollouts = Number(process.env.ROLLOUTS ?? '1')
const clients = 16

type Sent = { readonly status: number; readonly text: string }

/** One request over a connection that is kept open between requests. */
function ask(agent: Agent, url: URL, method: string, token: string, body?: object): Promise<Sent> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body !== undefined && { 'content-type': 'application/json', 'idempotency-key': randomUUID() }),
  }
  send(url, { method, agent, headers }, resolve)
    .on('error', reject)
    .end(body === undefined ? undefined : JSON.stringify(body))
  return promise.then(async (answer) => {
    const chunks: Buffer[] = []
    for await (const chunk of answer) chunks.push(chunk)
    return { status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }
  })
}

/** Follows a user's changes as a client does: after each end it comes again, with the last id it has. */
class Follower {
  readonly seen = new Set<string>()
  /** The last event of each stream that ended. */
  readonly ends: string[] = []
  #isOver = false

  /** @returns when the first stream has begun */
  async begin(url: string, token: string): Promise<void> {
    let stream = await EventSource.open(url, token)
    await stream.received(1)
    const following = async () => {
      while (!this.#isOver) {
        await eventually(async () => {
          for (const change of stream.changes) if (change.type === 'upsert') this.seen.add(change.task.title)
          return stream.hasEnded || this.#isOver
        }, 600_000)
        this.ends.push(stream.names.at(-1) ?? 'nothing')
        if (!this.#isOver) stream = await EventSource.open(url, token, { lastEventId: stream.lastEventId })
      }
      stream.close()
    }
    void following()
  }

  end(): void {
    this.#isOver = true
  }
}

test('two instances restarted one after the other under load: no request fails, no write is lost, streams go on', async (t) => {
  const testDatabase = await createTestDatabase()
  t.after(() => testDatabase.drop())
  const start = () =>
    startService({
      DATABASE_URL: addressOf(testDatabase.connection),
      BETTER_AUTH_SECRET: testSecret,
      RATE_LIMIT_PER_MINUTE: '0',
      SHUTDOWN_DELAY_MS: '1000',
    })
  const balancer = await openBalancer()
  t.after(() => balancer.close())
  let running: readonly RunningService[] = await Promise.all([start(), start()])
  for (const { url } of running) balancer.add(url)
  await eventually(async () => balancer.ready() === 2)

  let isOver = false
  const failures: string[] = []
  const acknowledged = new Map<string, Set<string>>()
  const sums = { reads: 0, writes: 0 }
  const tasks = new URL('/api/me/tasks', balancer.url)
  const users = Array.from({ length: 4 }, newUser)
  const tokens = users.map((userId) => signToken({ secret: testSecret, userId }))
  const followers = tokens.map(() => new Follower())
  await Promise.all(followers.map((each, at) => each.begin(balancer.url, tokens[at] ?? '')))
  const working = Array.from({ length: clients }, async (_, at) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const token = tokens[at % tokens.length] ?? ''
    for (let n = 0; !isOver; n++) {
      const title = `client ${at} task ${n}`
      const isWrite = n % 2 === 0
      const sent = isWrite
        ? ask(agent, tasks, 'POST', token, { title })
        : ask(agent, new URL('?limit=1', tasks), 'GET', token)
      const { status, text } = await sent.catch((error: Error) => ({ status: 0, text: error.message }))
      if (status !== (isWrite ? 201 : 200)) failures.push(`${isWrite ? 'POST' : 'GET'}: ${status} ${text}`)
      else if (isWrite) acknowledged.set(token, (acknowledged.get(token) ?? new Set()).add(title))
      sums[isWrite ? 'writes' : 'reads']++
    }
    agent.destroy()
  })

  for (let rollout = 0; rollout < rollouts; rollout++) {
    for (const old of running) {
      const fresh = await start()
      balancer.add(fresh.url)
      await eventually(async () => balancer.ready() === 3)
      assert.equal((await old.end('SIGTERM')).code, 0)
      running = [...running.filter((each) => each !== old), fresh]
    }
  }
  isOver = true
  await Promise.all(working)

  assert.deepEqual(failures, [])
  assert.deepEqual(balancer.failures, [])
  for (const [at, userId] of users.entries()) {
    const titles = await testDatabase.query<{ title: string }>(
      'select title from app.tasks where user_id = $1',
      [userId],
    )
    const stored = titles.map(({ title }) => title)
    assert.deepEqual(new Set(stored), acknowledged.get(tokens[at] ?? ''), 'what was acknowledged is there')
    assert.equal(new Set(stored).size, stored.length, 'once')
  }
  for (const [at, { seen }] of followers.entries())
    await eventually(async () => acknowledged.get(tokens[at] ?? '')?.isSubsetOf(seen))
  for (const each of followers) each.end()
  const ends = followers.flatMap((each) => each.ends)
  assert.ok(ends.length >= 2 * rollouts && ends.every((each) => each === 'reconnect'), `${ends}`)
  t.diagnostic(
    `${2 * rollouts} restarts, ${sums.writes} writes, ${sums.reads} reads, ${ends.length} streams told to reconnect`,
  )
  for (const each of running) assert.equal((await each.end('SIGTERM')).code, 0)
})
