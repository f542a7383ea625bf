import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { withTwoInstances } from './instances.ts'
import { Journal } from './journal.ts'
import { runRound } from './round.ts'
import { useStartTimes } from './start-times.ts'

// A longer run: MODEL_SECONDS=600 npm test -- test/sync/model.test.ts. To see a failure again: MODEL_SEED=… with the seed
// that it printed; the choices are the same then, while how they interleave is up to the machine.
const { MODEL_SEED: chosenSeed, MODEL_SECONDS: seconds = '6' } = process.env

const firstSeed = chosenSeed === undefined ? randomInt(1e9) : Number(chosenSeed)

test('users write through two instances: each replica comes to hold what the server holds, and that is what was answered', async (t) => {
  const end = performance.now() + Number(seconds) * 1_000
  const figures = new Map<string, number>()
  let seed = firstSeed
  await withTwoInstances(async (services) => {
    do {
      const journal = new Journal()
      await runRound({ services, journal, seed: String(seed) })
      assert.deepEqual(journal.failures, [], `MODEL_SEED=${seed}\n${journal.report()}`)
      for (const [what, times] of journal.figures) figures.set(what, (figures.get(what) ?? 0) + times)
      seed++
    } while (performance.now() < end)
  })
  const all = Object.fromEntries([...figures].sort())
  t.diagnostic(`seeds ${firstSeed} to ${seed - 1}: ${JSON.stringify(all)}`)
})

test('with the time at which a transaction began in the place of the counter, a replica misses a change', async (t) => {
  const mostRounds = 30
  // More clients of one user, so that more of them race.
  const crowded = { users: 1, writersOfUser: 8, restWithinMs: 500 }
  await withTwoInstances(async (services) => {
    for (let round = 1; round <= mostRounds; round++) {
      const journal = new Journal()
      await runRound({ services, journal, seed: `${firstSeed} ${round}`, ...crowded })
      const missed = journal.failures.find(({ kind }) => kind === 'replica')
      if (missed === undefined) continue
      t.diagnostic(`found in round ${round}: ${missed.text}`)
      return
    }
    assert.fail(`${mostRounds} rounds found nothing`)
  }, useStartTimes)
})
