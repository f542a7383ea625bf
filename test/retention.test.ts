import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUser, testSecret } from './support/app.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { allTrashed, assertFeedTellsOf, leftOf, newUsers, storeKeys } from './support/due-rows.ts'
import { addressOf, eventually, startService } from './support/process.ts'
import { storeTrash } from './support/trash.ts'

// The service as a process removes what is due by itself.

const environmentOf = ({ connection }: TestDatabase) => ({
  DATABASE_URL: addressOf(connection),
  BETTER_AUTH_SECRET: testSecret,
})

test('soon after the start what is due goes, after TRASH_RETENTION_DAYS, with one line that names no user', async () => {
  const testDatabase = await createTestDatabase()
  const user = newUser()
  await storeTrash({ testDatabase }, user, 3, '6 days')
  await storeTrash({ testDatabase }, user, 2, '4 days')
  await storeKeys(testDatabase, user, 4, '1 hour')
  const service = await startService({ ...environmentOf(testDatabase), TRASH_RETENTION_DAYS: '5' })
  await eventually(async () => service.stdout().includes('removed what was due'))
  assert.deepEqual(await leftOf(testDatabase), { tasks: 2, deletions: 3, keys: 0 })
  const { code, stdout } = await service.end('SIGTERM')
  assert.equal(code, 0)
  const lines = stdout.split('\n').filter((line) => line.includes('due'))
  assert.equal(lines.length, 1)
  const { level, time, duration_ms, ...rest } = JSON.parse(lines[0] ?? '')
  assert.deepEqual(rest, { msg: 'removed what was due', trash: 3, deletions: 0, keys: 4 })
  assert.equal(level, 30)
  assert.ok(time && duration_ms >= 0)
  assert.ok(!stdout.includes(user))
  await testDatabase.drop()
})

test('killed in the middle of a sweep, again and again, it leaves every task in one place, and the rest to the next', async () => {
  const testDatabase = await createTestDatabase()
  const users = newUsers(40)
  for (const user of users) await storeTrash({ testDatabase }, user, 600, '31 days')
  const trashed = await allTrashed(testDatabase)
  let gone = 0
  for (let kill = 0; kill < 3; kill++) {
    const service = await startService(environmentOf(testDatabase))
    await eventually(async () => (await leftOf(testDatabase)).deletions > gone)
    await service.end('SIGKILL')
    // The server may still be at the batch that nobody waits for any more.
    await eventually(async () => {
      const others = `select from pg_stat_activity where datname = current_database() and application_name = 'backend-core'`
      return (await testDatabase.query(others)).length === 0
    })
    const left = await leftOf(testDatabase)
    gone = left.deletions
    assert.ok(gone > 0 && gone < trashed.length, `${gone} of ${trashed.length} are gone`)
    assert.equal(left.tasks + left.deletions, trashed.length)
    await assertFeedTellsOf(testDatabase, trashed)
  }
  const service = await startService(environmentOf(testDatabase))
  await eventually(async () => (await leftOf(testDatabase)).tasks === 0, 60_000)
  await assertFeedTellsOf(testDatabase, trashed)
  const counters = await testDatabase.query<{ version: number }>(
    'select distinct version::int from app.change_counters',
  )
  // Two batches for each user, whoever made them.
  assert.deepEqual(counters, [{ version: 602 }])
  assert.equal((await service.end('SIGTERM')).code, 0)
  await testDatabase.drop()
})

test('a stop during a sweep waits for no more than its batch', async () => {
  const testDatabase = await createTestDatabase()
  for (const user of newUsers(60)) await storeTrash({ testDatabase }, user, 600, '31 days')
  const service = await startService(environmentOf(testDatabase))
  await eventually(async () => (await leftOf(testDatabase)).deletions > 0)
  const { code, stdout } = await service.end('SIGTERM')
  assert.equal(code, 0)
  assert.doesNotMatch(stdout, /failed|could not/)
  assert.ok((await leftOf(testDatabase)).tasks > 0)
  await testDatabase.drop()
})
