import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { TestDatabase } from './database.ts'

/**
 * Starts pieces of work that each wait for a user's counter, one after the other; it stays locked until the last one
 * waits, so that they all meet and go on in their order, however fast the machine is.
 */
export async function collide<T>(
  testDatabase: TestDatabase,
  user: string,
  starts: readonly (() => Promise<T>)[],
): Promise<T[]> {
  const holder = new pg.Client(testDatabase.connection)
  await holder.connect()
  try {
    await holder.query('begin')
    await holder.query('select from app.change_counters where user_id = $1 for update', [user])
    const { rows } = await holder.query<{ pid: number }>('select pg_backend_pid() as pid')
    // Only the first waits for the holder itself, the others for those before them. One that shares a connection gives up its
    // place after 20 ms (db/scope.ts), and takes another over a connection of its own: that is where it stays.
    const waiting = `with recursive behind (pid) as (
        select $1::int union select a.pid from behind b, pg_stat_activity a where b.pid = any(pg_blocking_pids(a.pid)))
      select from behind join pg_stat_activity using (pid)
      where pid <> $1 and clock_timestamp() - query_start > interval '60 ms'`
    const deadline = performance.now() + 4_000
    const work: Promise<T>[] = []
    for (const start of starts) {
      work.push(start())
      while ((await testDatabase.query(waiting, [rows[0]?.pid])).length < work.length) {
        assert.ok(performance.now() < deadline, `piece ${work.length} waits for the counter`)
        await delay(1)
      }
    }
    await holder.query('commit')
    return await Promise.all(work)
  } finally {
    await holder.end()
  }
}
