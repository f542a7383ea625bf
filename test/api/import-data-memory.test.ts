import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { get, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { after, test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import { newUser, testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { addressOf, type RunningService, startService } from '../support/process.ts'
import { fullLine, ndjson } from './transfers.ts'

// A service as a process of its own, with a heap that no whole import fits into. TRANSFER_TASKS and
// TRANSFER_MEGABYTES (an import takes 64) measure other sizes.

const tasks = Number(process.env.TRANSFER_TASKS ?? 10_000)
const megabytes = Number(process.env.TRANSFER_MEGABYTES ?? 32)
const description = 'x'.repeat(Math.floor((megabytes * 1_048_576) / tasks) - 320)

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

/** Most memory that a process has used so far, in bytes. */
function peakMemoryOf({ child }: RunningService): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024
}

test('importing and exporting a large file takes a constant amount of memory', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const service = await startService({
    DATABASE_URL: addressOf(testDatabase.connection),
    BETTER_AUTH_SECRET: testSecret,
    NODE_OPTIONS: '--max-old-space-size=64',
  })
  const authorization = `Bearer ${signToken({ secret: testSecret, userId: newUser() })}`
  const timed = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const [from, before] = [performance.now(), peakMemoryOf(service)]
    const result = await work()
    const seconds = (performance.now() - from) / 1000
    const grown = (peakMemoryOf(service) - before) / 1_048_576
    t.diagnostic(
      `${what}: ${tasks} tasks in ${seconds.toFixed(1)} s, ${Math.round(tasks / seconds)}/s, memory at its most ${Math.round(peakMemoryOf(service) / 1_048_576)} MiB (${grown.toFixed(1)} MiB more than before)`,
    )
    return result
  }
  const lines = Array.from({ length: tasks }, () => ({ ...fullLine({ description: null }) }))
  async function* body() {
    let piece = ''
    for (const line of lines) {
      piece += `${JSON.stringify({ ...line, description })}\n`
      if (piece.length < 65_536) continue
      yield piece
      piece = ''
    }
    yield piece
  }
  const post = async (query: string) => {
    const headers = { authorization, 'content-type': ndjson }
    const sent = request(`${service.url}/api/me/import${query}`, { method: 'POST', headers })
    const { promise, resolve } = Promise.withResolvers<Readable>()
    sent.on('response', resolve)
    await pipeline(Readable.from(body()), sent)
    return JSON.parse((await (await promise).toArray()).join('')).data
  }
  // What a first small request needs is no part of it.
  await (await fetch(`${service.url}/api/me/export`, { headers: { authorization } })).text()
  const before = peakMemoryOf(service)
  const report = { dry_run: true, lines: tasks, created: tasks, updated: 0, unchanged: 0 }
  assert.deepEqual(await timed('dry run', () => post('?dry_run=true')), report)
  assert.deepEqual(await timed('import', () => post('')), { ...report, dry_run: false })
  const again = { dry_run: false, lines: tasks, created: 0, updated: 0, unchanged: tasks }
  assert.deepEqual(await timed('import of the same', () => post('')), again)
  const bytes = await timed('export', async () => {
    const { promise, resolve } = Promise.withResolvers<Readable>()
    get(`${service.url}/api/me/export`, { headers: { authorization } }, resolve)
    let [length, count] = [0, 0]
    for await (const chunk of await promise) {
      length += chunk.length
      for (const byte of chunk) if (byte === 0x0a) count++
    }
    assert.equal(count, tasks)
    return length
  })
  assert.ok(bytes > 0.9 * megabytes * 1_048_576)
  const erased = await timed('erasure', () =>
    fetch(`${service.url}/api/me/data`, { method: 'DELETE', headers: { authorization, confirm: 'erase' } }),
  )
  assert.equal(erased.status, 200)
  const grown = (peakMemoryOf(service) - before) / 1_048_576
  // Garbage that is not collected yet; what holds the whole takes more, or dies of its heap.
  assert.ok(grown < 160, `${grown} MiB more than before`)
})
