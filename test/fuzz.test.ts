import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { operations } from './fuzz/document.ts'
import { createActor, remember, rememberDeleted } from './fuzz/memory.ts'
import { Random } from './fuzz/random.ts'
import { type FuzzRequest, makeRequest, show } from './fuzz/requests.ts'
import { closeConnections, exchange } from './fuzz/transport.ts'
import { faultsOf } from './fuzz/verdict.ts'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { addressOf, startService } from './support/process.ts'

// A longer run, or the same again: FUZZ_REQUESTS=20000 FUZZ_SEED=1 npm test -- test/fuzz.test.ts.
const total = Number(process.env.FUZZ_REQUESTS ?? '2000')
const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31))

/** Requests that are under way together; the next ones are made when all are answered, so that a seed says them all. */
const together = 8

/** As many as tell what is wrong. */
const mostFaults = 20

test('whatever is sent to the operations of the document, right or wrong, is answered as the document says', async (t) => {
  t.diagnostic(`FUZZ_SEED=${seed}`)
  const testDatabase = await createTestDatabase()
  t.after(() => testDatabase.drop())
  t.after(closeConnections)
  const service = await startService({
    DATABASE_URL: addressOf(testDatabase.connection),
    BETTER_AUTH_SECRET: testSecret,
    RATE_LIMIT_PER_MINUTE: '0',
    NODE_ENV: 'production',
  })
  const random = new Random(seed)
  const suffix = newUser()
  const userIds = [suffix, `ü/ %2e?#${suffix}`, `${'👩'.repeat(215)}${suffix}`, `me ${suffix}`]
  const actors = userIds.map((userId, at) => createActor(userId, `${at}-${suffix.slice(0, 8)}`))
  const faults = new Map<string, string>()
  const counts: Record<string, number> = {}

  const ask = async (request: FuzzRequest) => {
    const secrets = actors.filter((each) => each !== request.actor).map(({ marker }) => marker)
    const { operationId } = request.operation
    try {
      const answer = await exchange(service.url, request)
      const outcome = `${operationId} ${answer.status}`
      counts[outcome] = (counts[outcome] ?? 0) + 1
      for (const fault of faultsOf(request, answer, secrets)) {
        const place = `${request.method} ${operationId}: ${fault}`
        if (!faults.has(place))
          faults.set(place, `${show(request)}\n  → ${answer.status} ${answer.text.slice(0, 400)}`)
      }
      return answer
    } catch (error) {
      // The connection may be closed on a client that is still sending more than it may.
      const isTooLarge = (request.body?.length ?? 0) > 1_048_576
      if (isTooLarge && /EPIPE|ECONNRESET/.test(`${error}`)) counts[`${operationId} unread`] = 1
      else faults.set(`${request.method} ${operationId}: ${error}`, show(request))
      return undefined
    }
  }

  for (let sent = 0; sent < total && faults.size < mostFaults; sent += together) {
    const requests = Array.from({ length: Math.min(together, total - sent) }, () => {
      const actor = random.pick(actors)
      return makeRequest({ random, actor, others: actors.filter((each) => each !== actor) })
    })
    const answers = await Promise.all(requests.map(ask))
    for (const [at, { actor, meant }] of requests.entries()) {
      const { text = '', headers = {} } = answers[at] ?? {}
      if (meant?.operationId === 'deleteTask' && answers[at]?.status === 200)
        rememberDeleted(actor, text, random)
      remember(actor, text, headers.etag?.toString(), random)
    }
  }

  const found = [...faults].map(([fault, reproduction]) => `${fault}\n  ${reproduction}`)
  assert.deepEqual(faults.size, 0, `FUZZ_SEED=${seed}\n${found.join('\n\n')}`)
  const log = service.stdout()
  const errors = log
    .split('\n')
    .filter((line) => /"level":[56]0/.test(line) && !line.includes('"OVERLOADED"'))
  assert.deepEqual(errors, [])
  for (const { marker } of actors) assert.ok(!log.includes(marker), 'the log holds nothing that users wrote')
  // A short run may by chance have little of something.
  for (const { operationId } of total >= 10_000 ? operations : []) {
    const outcomes = Object.keys(counts).filter((each) => each.startsWith(`${operationId} `))
    assert.ok(
      outcomes.some((each) => / 2\d\d$/.test(each)) && outcomes.length > 1,
      `${operationId}: ${outcomes}`,
    )
  }
  t.diagnostic(`${total} requests: ${summary(counts)}`)
  assert.equal((await service.end('SIGTERM')).code, 0)
})

/** How often each status was answered. */
function summary(counts: Readonly<Record<string, number>>): string {
  const sums = new Map<string, number>()
  for (const [outcome, count] of Object.entries(counts)) {
    const [, status = ''] = outcome.split(' ')
    sums.set(status, (sums.get(status) ?? 0) + count)
  }
  return [...sums]
    .sort()
    .map(([status, count]) => `${count} × ${status}`)
    .join(', ')
}
