import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from '../support/app.ts'

/** What became of the writes of one writer. */
type Tally = {
  acknowledged: Map<string, string>
  unanswered: Set<string>
  failures: number
  replays: number
  slowestMs: number
}

export type Writers = {
  /** How many requests have been answered with success so far, over all writers. @throws what one of them failed with */
  count(): number
  /** Stops them, and checks what they were told against what is there. */
  finish(): Promise<Outcome>
}

export type Outcome = {
  readonly acknowledged: number
  readonly failures: number
  /** Answers that a key had kept: the write was done, and its first answer lost. */
  readonly replays: number
  readonly lost: number
  readonly doubled: number
  readonly unclaimed: number
  /** Answers that took longer than the 5 s of a failure. */
  readonly hung: number
  readonly slowestMs: number
}

/**
 * Clients that create tasks one after the other and send each again until it is acknowledged: with an id of its own, or
 * with an Idempotency-Key and no id. Anything but success, 503 and a broken connection is an error of the test.
 *
 * @param isExpected whether a failure of fetch itself may happen, as when the service is killed
 */
export function startWriters(
  users: readonly Client[],
  {
    by = 'id',
    isExpected = () => false,
  }: { by?: 'id' | 'key'; isExpected?: (error: unknown) => boolean } = {},
): Writers {
  const tallies: Tally[] = users.map(() => ({
    acknowledged: new Map(),
    unanswered: new Set(),
    failures: 0,
    replays: 0,
    slowestMs: 0,
  }))
  let stopping = false
  const write = async (user: Client, tally: Tally) => {
    while (!stopping) {
      const id = randomUUID()
      const title = `Task ${id}`
      tally.unanswered.add(id)
      while (!(await attempt(user, tally, id, title)) && !stopping) await delay(20)
    }
  }
  const attempt = async (user: Client, tally: Tally, id: string, title: string): Promise<boolean> => {
    const sentAt = performance.now()
    try {
      const { status, body, headers } = await (by === 'id'
        ? user.post('/api/me/tasks', { id, title })
        : user.post('/api/me/tasks', { title }, { 'idempotency-key': id }))
      tally.slowestMs = Math.max(tally.slowestMs, performance.now() - sentAt)
      if (status === 201 || status === 200) {
        assert.equal(body.data.title, title)
        if (headers.has('idempotency-replayed')) tally.replays++
        tally.acknowledged.set(id, title)
        tally.unanswered.delete(id)
        return true
      }
      // The server may take a moment to notice that the connection of the first is gone.
      const isUnderWay = by === 'key' && status === 409 && body.error.code === 'IDEMPOTENCY_IN_PROGRESS'
      if (!isUnderWay) {
        assert.equal(status, 503, JSON.stringify(body))
        assert.equal(body.error.code, 'DATABASE_UNAVAILABLE')
      }
    } catch (error) {
      if (!isExpected(error)) throw error
    }
    tally.failures++
    return false
  }
  const running = users.map((user, index) => {
    const tally = tallies[index]
    assert.ok(tally)
    return write(user, tally)
  })
  const ended = Promise.all(running)
  let failed: { readonly reason: unknown } | undefined
  ended.catch((reason: unknown) => {
    failed = { reason }
  })
  return {
    count() {
      if (failed) throw failed.reason
      return tallies.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0)
    },
    async finish() {
      stopping = true
      await ended
      const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0)
      let lost = 0
      let doubled = 0
      let unclaimed = 0
      for (const [index, user] of users.entries()) {
        const tally = tallies[index]
        assert.ok(tally)
        const stored = await allTitles(user)
        const counts = Map.groupBy(stored, (title) => title)
        doubled += [...counts.values()].filter(({ length }) => length > 1).length
        lost += [...tally.acknowledged.values()].filter((title) => !counts.has(title)).length
        const known = new Set([
          ...tally.acknowledged.values(),
          ...[...tally.unanswered].map((id) => `Task ${id}`),
        ])
        unclaimed += [...counts.keys()].filter((title) => !known.has(title)).length
      }
      return {
        acknowledged: sum(({ acknowledged }) => acknowledged.size),
        failures: sum(({ failures }) => failures),
        replays: sum(({ replays }) => replays),
        ...{ lost, doubled, unclaimed },
        hung: tallies.filter(({ slowestMs }) => slowestMs > 5_000).length,
        slowestMs: Math.round(Math.max(...tallies.map(({ slowestMs }) => slowestMs))),
      }
    },
  }
}

async function allTitles(user: Client): Promise<string[]> {
  const titles: string[] = []
  let cursor = ''
  do {
    const { status, body } = await user.get(`/api/me/tasks?limit=500${cursor && `&cursor=${cursor}`}`)
    assert.equal(status, 200)
    titles.push(...body.data.map(({ title }: { title: string }) => title))
    cursor = body.meta.next_cursor ?? ''
  } while (cursor !== '')
  return titles
}
