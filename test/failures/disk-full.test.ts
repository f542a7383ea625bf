import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { inspect, promisify } from 'node:util'
import { type Client, newUser, startApp, type TestService } from '../support/app.ts'
import { makeRoot, Place, until } from '../support/embedded-place.ts'
import { databaseAt, tell, timesOf, untilHealed } from './faults.ts'
import { startWriters } from './writers.ts'

// The disk of the database is full, for its tables and then for its log as well; a file in memory is the disk.

const run = promisify(execFile)
const writers = 8
const times = timesOf(1)

/** @returns why it cannot be mounted, or nothing when it is */
async function mountDisk(folder: string, megabytes: number): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'a disk of its own can only be mounted by root, on Linux'
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0711`, 'tmpfs', folder])
    return undefined
  } catch (error) {
    return `a disk of its own cannot be mounted here: ${error}`
  }
}

/** A small disk, filled up and freed by a file of no use. */
async function openDisk(t: TestContext, megabytes: number) {
  const root = await makeRoot()
  const refusal = await mountDisk(root, megabytes)
  if (refusal !== undefined) {
    await rm(root, { recursive: true })
    t.skip(refusal)
    return undefined
  }
  await chmod(root, 0o711)
  const ballast = join(root, 'ballast')
  const place = Place.open(t, join(root, 'data'))
  t.after(async () => {
    // Whatever still has a file there; the disk is gone with the last of them.
    await run('umount', ['--lazy', root])
    await rm(root, { recursive: true })
  })
  return {
    place,
    /** Takes all the room there is. */
    async fill() {
      const file = await open(ballast, 'a')
      try {
        for (;;) {
          const { bavail, bsize } = await statfs(root)
          const bytes = Math.min(bavail * bsize, 1_048_576)
          if (bytes <= 0) return
          await file.write(Buffer.alloc(bytes))
        }
      } catch (error) {
        // The database has taken the room first.
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      } finally {
        await file.close()
      }
    },
    free: () => rm(ballast, { force: true }),
  }
}

test('the disk of the database is full: 503 for writes while reads go on, and all is as it was told once there is room', {
  timeout: 60_000 + times * 30_000,
}, async (t) => {
  const disk = await openDisk(t, 160)
  if (disk === undefined) return
  const { service, place } = await serveFrom(disk.place)
  await fillUnderWriters(t, service, 'disk full, for the tables', {
    fill: () => disk.fill(),
    async whileFull() {
      const reader = service.as(newUser())
      await until('writes are refused', async () => (await addLongTask(reader)) === 503)
      for (let reads = 0; reads < 20; reads++) assert.equal((await reader.get('/api/me/tasks')).status, 200)
    },
    free: () => disk.free(),
  })
  assert.equal(place.count('exited'), 0, 'the server went on')
})

test('there is no room for the log of the database, and it stops: it is started again once there is room', {
  timeout: 60_000 + times * 30_000,
}, async (t) => {
  const disk = await openDisk(t, 160)
  if (disk === undefined) return
  // So that the next part of the log needs room, not the place of an old one.
  const { service, place } = await serveFrom(disk.place, { wal_recycle: 'off', max_wal_size: '32MB' })
  await fillUnderWriters(t, service, 'disk full, for the log too: the server stops', {
    fill: () => disk.fill(),
    async whileFull() {
      const failedBefore = place.count('restart-failed')
      await until('the server cannot be started', async () => {
        await useUpLog(service).catch(() => {})
        return place.count('restart-failed') >= failedBefore + 5
      })
      const answer = await service.as(newUser()).get('/api/me/tasks')
      assert.deepEqual([answer.status, answer.body.error?.code], [503, 'DATABASE_UNAVAILABLE'])
      assert.equal((await service.anonymous().get('/health')).status, 200)
    },
    free: () => disk.free(),
  }).catch((error: unknown) => {
    // What became of the server says why nothing healed.
    for (const event of place.events) t.diagnostic(inspect(event))
    throw error
  })
  assert.ok(place.count('restarted') >= 1)
  for (const event of place.events)
    if (event.type === 'restart-failed') assert.ok(event.retryInMs <= 1_000, `again in ${event.retryInMs} ms`)
})

async function serveFrom(place: Place, settings: Readonly<Record<string, string>> = {}) {
  const server = await place.start({ durable: true, settings })
  const service = await startApp({ testDatabase: databaseAt({ ...server.connection, ssl: false }) })
  return { place, service }
}

/** Asks for room in a table. @returns the status */
async function addLongTask(user: Client): Promise<number> {
  const description = randomBytes(5_000).toString('hex')
  return (await user.post('/api/me/tasks', { title: 'x', description })).status
}

/** Has the server write its log into the next file. */
async function useUpLog({ testDatabase }: TestService): Promise<void> {
  await testDatabase.query(`select pg_logical_emit_message(false, 'test', 'x')`)
  await testDatabase.query('select pg_switch_wal()')
}

/** Fills a disk and frees it under writers, and checks what they were told. */
async function fillUnderWriters(
  t: TestContext,
  service: TestService,
  fault: string,
  steps: Readonly<Record<'fill' | 'whileFull' | 'free', () => Promise<void>>>,
): Promise<void> {
  const running = startWriters(Array.from({ length: writers }, () => service.as(newUser())))
  const healedMs: number[] = []
  for (let round = 0; round < times; round++) {
    const before = running.count()
    await until('every writer writes', () => running.count() > before + writers)
    await steps.fill()
    await steps.whileFull()
    await steps.free()
    healedMs.push(await untilHealed(service))
  }
  const outcome = await running.finish()
  tell(t, { fault, times, inFlight: writers, healedMs, ...outcome }, JSON.stringify(outcome))
  const { lost, doubled, unclaimed, hung, failures } = outcome
  assert.deepEqual({ lost, doubled, unclaimed, hung }, { lost: 0, doubled: 0, unclaimed: 0, hung: 0 })
  assert.ok(failures > 0, 'the writers met it')
}
