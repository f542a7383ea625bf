import assert from 'node:assert/strict'
import type { Change } from '../../src/tasks/changes.ts'
import type { Task } from '../../src/tasks/task.ts'
import type { Answer, Client } from './app.ts'
import type { TestDatabase } from './database.ts'

export type Page = { readonly changes: Change[]; readonly next: string; readonly hasMore: boolean }

/** Checks a page of changes and its envelope. */
export function assertChanges(answer: Answer): Page {
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
  assert.match(answer.headers.get('etag') ?? '', /^W\/"\d+"$/)
  const { data, meta, status } = answer.body
  assert.equal(status, 'success')
  assert.deepEqual(Object.keys(meta).sort(), ['has_more', 'next_cursor', 'request_id', 'timestamp'])
  assert.ok(typeof meta.next_cursor === 'string' && typeof meta.has_more === 'boolean')
  for (const change of data) {
    const expected = change.type === 'upsert' ? ['task', 'type'] : ['id', 'type', 'version']
    assert.deepEqual(Object.keys(change).sort(), expected)
  }
  return { changes: data, next: meta.next_cursor, hasMore: meta.has_more }
}

/** One page of a user's changes. */
export async function readPage(user: Client, since?: string, limit?: number): Promise<Page> {
  const query = new URLSearchParams({ ...(since && { since }), ...(limit && { limit: String(limit) }) })
  return assertChanges(await user.get(`/api/me/changes?${query}`))
}

/** What a client holds that follows the changes, by the rule that a change counts only if its version is greater. */
export class Replica {
  cursor: string | undefined
  readonly tasks = new Map<string, Task>()
  readonly #versions = new Map<string, number>()

  /** @returns whether the change was new */
  apply(change: Change): boolean {
    const [id, version] =
      change.type === 'upsert' ? [change.task.id, change.task.version] : [change.id, change.version]
    if (version <= (this.#versions.get(id) ?? 0)) return false
    this.#versions.set(id, version)
    if (change.type === 'upsert') this.tasks.set(id, change.task)
    else this.tasks.delete(id)
    return true
  }

  /** Reads on until there is nothing more; `limit` gives the size of each page. */
  async follow(user: Client, limit: () => number = () => 500): Promise<void> {
    for (;;) {
      const { changes, next, hasMore } = await readPage(user, this.cursor, limit())
      for (const change of changes) this.apply(change)
      this.cursor = next
      if (!hasMore) return
    }
  }
}

/** What the server holds: id → version and title of each task that is not in the trash. */
export async function liveTasks({ query }: TestDatabase, userId: string): Promise<Map<string, string>> {
  const rows = await query<{ id: string; title: string; version: string }>(
    'select id, title, version from app.tasks where user_id = $1 and deleted_at is null',
    [userId],
  )
  return new Map(rows.map(({ id, version, title }) => [id, `${version} ${title}`]))
}

/** Compares a replica at rest with the server. */
export async function assertSame(replica: Replica, database: TestDatabase, userId: string): Promise<void> {
  const held = new Map(
    Array.from(replica.tasks.values(), ({ id, version, title }) => [id, `${version} ${title}`]),
  )
  const stored = await liveTasks(database, userId)
  assert.deepEqual([...held].sort(), [...stored].sort())
}

/** Removes a task in the trash for good, as the trash and its sweep do. */
export async function purge({ query }: TestDatabase, userId: string, id: string): Promise<void> {
  await query(
    `with counted as (
      update app.change_counters set version = version + 1 where user_id = $1 returning user_id),
    removed as (
      delete from app.tasks t using counted c where t.user_id = c.user_id and t.id = $2 returning t.version)
    insert into app.deletions (user_id, id, version, removed_at) select $1, $2, version, now() from removed`,
    [userId, id],
  )
}

/** Brings a task back from the trash. */
export async function restore({ query }: TestDatabase, userId: string, id: string): Promise<void> {
  await query(
    `with counted as (
      update app.change_counters set version = version + 1 where user_id = $1 returning version)
    update app.tasks t set deleted_at = null, version = c.version from counted c where t.user_id = $1 and t.id = $2`,
    [userId, id],
  )
}

/** Forgets the deletions up to a version, as the sweep does 90 days after. */
export async function forgetDeletions({ query }: TestDatabase, userId: string, upTo: number): Promise<void> {
  await query('delete from app.deletions where user_id = $1 and version <= $2', [userId, upTo])
  await query('update app.change_counters set expired_before = $2 where user_id = $1', [userId, upTo])
}

/** Erases everything of a user's. */
export async function erase({ query }: TestDatabase, userId: string): Promise<void> {
  await query('delete from app.tasks where user_id = $1', [userId])
  await query('delete from app.deletions where user_id = $1', [userId])
  await query(
    'update app.change_counters set version = version + 1, expired_before = version + 1 where user_id = $1',
    [userId],
  )
}
