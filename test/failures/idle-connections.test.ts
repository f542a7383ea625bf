import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { signToken } from '../../src/cli/sign-token.ts'
import { newUser, testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { addressOf, eventually, startService } from '../support/process.ts'
import { requestBytes } from '../support/raw-http.ts'
import { openSockets } from '../support/sockets.ts'
import { timesOf } from './faults.ts'

// Ten thousand clients that are connected and ask for nothing, of a service in a process of its own.

const wanted = 10_000
/** For what both processes have open besides. */
const spareFiles = 300
/** Node takes as many as the system lets it. */
const openFiles =
  Number(execFileSync('/bin/sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim()) || wanted * 2
const connections = Math.min(wanted, openFiles - spareFiles)

test(`${wanted} idle connections: the service serves beside them, and what they cost comes back`, {
  skip: process.platform !== 'linux' && 'only Linux tells what another process has',
  timeout: 120_000,
}, async (t) => {
  if (connections < wanted) t.diagnostic(`only ${connections}: ulimit -n is ${openFiles}`)
  const testDatabase = await createTestDatabase()
  t.after(() => testDatabase.drop())
  const service = await startService({
    DATABASE_URL: addressOf(testDatabase.connection),
    BETTER_AUTH_SECRET: testSecret,
    RATE_LIMIT_PER_MINUTE: '0',
    // As little as does, so that what is free is not left lying about for later.
    NODE_OPTIONS: '--max-semi-space-size=8 --max-old-space-size=140',
  })
  const { pid } = service.child
  const openFilesNow = () => readdirSync(`/proc/${pid}/fd`).length
  const megabytes = () => {
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Number(kilobytes) / 1_024
  }
  const authorization = `Bearer ${signToken({ secret: testSecret, userId: newUser() })}`
  const slowestMs = async () => {
    let slowest = 0
    for (let n = 0; n < 50; n++) {
      const from = performance.now()
      const { status } = await fetch(`${service.url}/api/me/tasks`, { headers: { authorization } })
      assert.equal(status, 200)
      slowest = Math.max(slowest, performance.now() - from)
    }
    return Math.round(slowest)
  }
  await slowestMs()
  const before = { files: openFilesNow(), megabytes: megabytes() }
  const peaks: number[] = []
  const rounds = timesOf(3)
  let slowest = 0
  for (let round = 0; round < rounds; round++) {
    const clients = await openSockets(service.url, connections)
    for (const { socket } of clients) socket.write(requestBytes(['GET /health HTTP/1.1', 'Host: test']))
    await eventually(async () => clients.every(({ received }) => received().includes('"success"')), 30_000)
    assert.ok(openFilesNow() >= connections)
    slowest = Math.max(slowest, await slowestMs())
    peaks.push(megabytes())
    for (const { socket } of clients) socket.destroy()
    await eventually(async () => openFilesNow() < before.files + 50)
  }
  slowest = Math.max(slowest, await slowestMs())
  const [first = 0] = peaks
  const last = peaks.at(-1) ?? 0
  const eachKiB = ((first - before.megabytes) * 1_024) / connections
  t.diagnostic(
    `${connections} idle connections, ${rounds} times: ${before.megabytes.toFixed()} MB before, ` +
      `${peaks.map((peak) => peak.toFixed()).join(', ')} MB with them (${eachKiB.toFixed(1)} KiB each), ` +
      `${megabytes().toFixed()} MB after; slowest of 50 requests beside them ${slowest} ms`,
  )
  assert.ok(eachKiB < 64, `${eachKiB} KiB each`)
  // Of memory that does not come back each round would take as much again.
  assert.ok(last - first < first - before.megabytes, `${peaks.join(', ')} MB`)
})
