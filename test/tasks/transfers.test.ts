import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { UserScope } from '../../src/db/database.ts'
import { exportData } from '../../src/tasks/export.ts'
import { importData } from '../../src/tasks/import.ts'
import { TransferSlots } from '../../src/tasks/transfer-slots.ts'
import { fullLine, readLines, temporaryFiles } from '../api/transfers.ts'
import { newUser, startApp } from '../support/app.ts'
import { eventually } from '../support/process.ts'

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
  const exported = await exportData(scope, { slots, signal: new AbortController().signal })
  const text = Buffer.concat(await exported.lines.toArray()).toString()
  assert.equal(text.length, exported.bytes)
  assert.deepEqual(
    readLines(text).map(({ id }) => id),
    lines.map(({ id }) => id).sort(),
  )
})

test('an export that nobody takes on is given up: its file is closed and its slot is free', async () => {
  const slots = new TransferSlots()
  const scope = service.database.scopeFor(newUser())
  const lines = Array.from({ length: 100 }, () => fullLine({ description: 'x'.repeat(10_000) }))
  async function* body() {
    yield Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  }
  await importData(scope, { body: body(), check: () => [], dryRun: false, slots })
  const signal = new AbortController().signal
  const stalled = await Promise.all(
    [1, 2].map(() => exportData(scope, { slots, signal, stallTimeoutMs: 50 })),
  )
  await assert.rejects(exportData(scope, { slots, signal }), { code: 'OVERLOADED' })
  for (const { lines } of stalled) await eventually(async () => lines.closed)
  await eventually(async () => temporaryFiles().length === 0)
  const whole = await exportData(scope, { slots, signal })
  assert.equal(Buffer.concat(await whole.lines.toArray()).length, whole.bytes)
})

test('whoever has the last byte of an export can begin the next one', async () => {
  const slots = new TransferSlots()
  const scope = service.database.scopeFor(newUser())
  async function* body() {
    yield Buffer.from('{"title":"x"}\n')
  }
  await importData(scope, { body: body(), check: () => [], dryRun: false, slots })
  const signal = new AbortController().signal
  for (const { bytes, lines } of await Promise.all([1, 2].map(() => exportData(scope, { slots, signal })))) {
    const [piece] = await once(lines, 'data')
    assert.equal(piece.length, bytes)
    slots.take(scope.userId)()
  }
})
