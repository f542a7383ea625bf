import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { until } from '../support/embedded-place.ts'
import { openProxy } from '../support/proxy.ts'
import { tell, timesOf, untilHealed } from './faults.ts'
import { startWriters } from './writers.ts'

// The network breaks in the midst of the database's answers, again and again, under load.

const cuts = timesOf(50)
const writers = 8

for (const by of ['id', 'key'] as const) {
  test(`answers of the database cut in their midst, under writers who repeat by ${by}: never success for it, and done once`, {
    timeout: 60_000,
  }, async (t) => {
    const testDatabase = await createTestDatabase()
    const proxy = await openProxy(testDatabase.connection)
    const connection = { ...testDatabase.connection, ssl: false, host: '127.0.0.1', port: proxy.port }
    const service = await startApp({ testDatabase: { ...testDatabase, connection } })
    t.after(async () => {
      await service.stop()
      await proxy.close()
      await testDatabase.drop()
    })
    const running = startWriters(
      Array.from({ length: writers }, () => service.as(newUser())),
      { by },
    )
    const healedMs: number[] = []
    for (let cut = 0; cut < cuts; cut++) {
      const before = running.count()
      await until('writes go on', () => running.count() >= before + writers)
      // Of writes by id each is committed by its own answer; a kept answer takes a transaction.
      await proxy.cutAnswer(by === 'key' && cut % 4 === 0 ? 'statement' : 'commit')
      healedMs.push(await untilHealed(service))
    }
    const outcome = await running.finish()
    const fault = `connection reset within an answer; repeated by ${by}`
    tell(t, { fault, times: cuts, inFlight: writers, healedMs, ...outcome }, JSON.stringify(outcome))
    const { lost, doubled, unclaimed, hung, failures, replays } = outcome
    assert.deepEqual({ lost, doubled, unclaimed, hung }, { lost: 0, doubled: 0, unclaimed: 0, hung: 0 })
    assert.ok(failures >= cuts, `each answer that was cut became a 503: ${failures}`)
    if (by === 'key') assert.ok(replays >= cuts / 2, `${replays} were done before their answers were lost`)
  })
}
