import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool, type PoolOptions } from '../../src/db/pool.ts'
import { createTestDatabase } from '../support/database.ts'
import { eventually } from '../support/process.ts'

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

function openPool(options: Partial<PoolOptions>): Pool {
  const pool = new Pool({ connection: testDatabase.connection, poolMax: 1, ...options })
  after(() => pool.close())
  return pool
}

test('as many wait as may, and the next one is refused; without a bound of its own 100 for each connection', async () => {
  for (const [options, bound] of [
    [{ maxWaiting: 3 }, 3],
    [{ poolMax: 2 }, 200],
  ] as const) {
    const pool = openPool(options)
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    const poolMax = 'poolMax' in options ? options.poolMax : 1
    let started = 0
    const work = () => {
      started++
      return held
    }
    const all = Array.from({ length: poolMax }, () => pool.lend('none', work))
    await eventually(async () => started === poolMax)
    for (let n = 0; n < bound; n++) {
      assert.equal(pool.refusal(), undefined)
      all.push(pool.lend('none', work))
    }
    const refusal = pool.refusal()
    assert.deepEqual([refusal?.code, refusal?.headers], ['OVERLOADED', { 'retry-after': '1' }])
    release()
    await Promise.all(all)
    assert.equal(pool.refusal(), undefined)
  }
})

test('where one has waited too long no more are taken, unless nothing is being done at all', async () => {
  const pool = openPool({ maxWaitMs: 400 })
  const seen: boolean[] = []
  const work = async () => {
    // Just after the one before was done.
    seen.push(pool.isFull)
    await delay(500)
    // For longer than the bound nothing was done: it is for the deadline to say that the database is away.
    seen.push(pool.isFull)
  }
  await Promise.all(Array.from({ length: 4 }, () => pool.lend('none', work)))
  assert.deepEqual(seen, [false, false, true, false, true, false, false, false])
  assert.equal(pool.isFull, false)
})
