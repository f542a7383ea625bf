import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UserScope } from '../../src/db/database.ts'
import { exportData } from '../../src/tasks/export.ts'
import { importData } from '../../src/tasks/import.ts'
import { TransferSlots } from '../../src/tasks/transfer-slots.ts'
import { fullLine, readLines } from '../api/transfers.ts'
import { newUser, startApp } from '../support/app.ts'

const service = await startApp()

/** A scope whose transactions fail once they have done everything, and are run again, as after a conflict. */
function failingOnce(scope: UserScope): UserScope {
  return {
    ...scope,
    async transaction(work, options) {
      const undone = new Error('undone')
      const first = scope.transaction(async (transaction) => {
        await work(transaction)
        throw undone
      }, options)
      await assert.rejects(first, undone)
      return scope.transaction(work, options)
    },
  }
}

test('an import and an export whose transactions are run again do their work once', async () => {
  const scope = failingOnce(service.database.scopeFor(newUser()))
  const slots = new TransferSlots()
  const lines = Array.from({ length: 1_200 }, () => fullLine())
  async function* body() {
    yield Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  }
  const report = await importData(scope, { body: body(), check: () => [], dryRun: false, slots })
  assert.deepEqual(report, { dry_run: false, lines: 1_200, created: 1_200, updated: 0, unchanged: 0 })
  const exported = await exportData(scope, slots, new AbortController().signal)
  const text = (await exported.lines.toArray()).join('')
  assert.equal(text.length, exported.bytes)
  assert.deepEqual(
    readLines(text).map(({ id }) => id),
    lines.map(({ id }) => id).sort(),
  )
})
