import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { newUser, type TestService } from '../support/app.ts'
import type { TestDatabase } from '../support/database.ts'

/** How often a fault is injected; more by hand: KILLS=10. */
export function timesOf(usual: number): number {
  return Number(process.env.KILLS ?? usual)
}

export type Figures = {
  readonly fault: string
  readonly times: number
  readonly inFlight: number
  readonly lost: number
  readonly doubled: number
  readonly hung: number
  /** From the end of each fault to the first write that succeeds. */
  readonly healedMs: readonly number[]
}

/** The line of the table in docs/operations.md. */
export function tell(t: TestContext, figures: Figures, more = ''): void {
  const { fault, times, inFlight, lost, doubled, hung, healedMs } = figures
  const sorted = healedMs.toSorted((a, b) => a - b).map(Math.round)
  const [median, worst] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)]
  t.diagnostic(
    `| ${fault} | ${times} | ${inFlight} | ${lost} | ${doubled} | ${hung} | ${median} (${worst}) | ${more}`,
  )
}

/**
 * Waits for a write of a user whom nobody else writes for. Another is sent every 50 ms, whatever became of those before:
 * what was sent while the fault was there may have to wait for its deadline.
 *
 * @returns how long it took, in milliseconds
 */
export async function untilHealed(service: TestService): Promise<number> {
  const from = performance.now()
  const probe = service.as(newUser())
  const sent: Promise<void>[] = []
  let healedMs: number | undefined
  const write = async () => {
    const { status } = await probe.post('/api/me/tasks', { title: 'x' })
    if (status === 201) healedMs ??= performance.now() - from
  }
  const giveUpMs = from + 15_000
  while (healedMs === undefined && performance.now() < giveUpMs) {
    sent.push(write())
    await Promise.race([sent.at(-1), delay(50)])
  }
  await Promise.all(sent)
  assert.ok(healedMs !== undefined, 'a write succeeds')
  return healedMs
}

/** The database of a server that the test itself runs. */
export function databaseAt(connection: pg.ClientConfig): TestDatabase {
  return {
    name: connection.database ?? '',
    connection,
    async query<R extends pg.QueryResultRow>(text: string, values?: unknown[]) {
      const client = new pg.Client(connection)
      // The server may be taken away meanwhile; the query tells of it.
      client.on('error', () => {})
      await client.connect()
      try {
        return (await client.query<R>(text, values)).rows
      } finally {
        await client.end()
      }
    },
    async drop() {},
  }
}
