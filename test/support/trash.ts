import assert from 'node:assert/strict'
import type { TrashedTask } from '../../src/tasks/task.ts'
import { type Client, makeTask, type TestService } from './app.ts'
import type { TestDatabase } from './database.ts'

/** Makes a task through the API, moves it to the trash, and returns it as it is there. */
export async function makeTrashedTask(
  user: Client,
  fields: Record<string, unknown> = {},
): Promise<TrashedTask> {
  const { id } = await makeTask(user, fields)
  assert.equal((await user.delete(`/api/me/tasks/${id}`)).status, 200)
  const page = await user.get('/api/me/trash?limit=1')
  assert.equal(page.body.data[0].id, id)
  return page.body.data[0]
}

export type Deletion = { readonly id: string; readonly version: number }

/** What the change feed remembers of the user's tasks that were removed for good. */
export function deletionsOf({ query }: TestDatabase, userId: string): Promise<Deletion[]> {
  return query<Deletion>(
    'select id::text, version::int from app.deletions where user_id = $1 order by version',
    [userId],
  )
}

export type Counter = { readonly version: number; readonly expired_before: number }

/** The user's counter row; zeros without one. */
export async function counterOf({ query }: TestDatabase, userId: string): Promise<Counter> {
  const [row] = await query<Counter>(
    'select version::int, expired_before::int from app.change_counters where user_id = $1',
    [userId],
  )
  return row ?? { version: 0, expired_before: 0 }
}

/** Stores tasks of a user in the trash, by SQL: number n was deleted n seconds before `age`, an interval, ago. */
export async function storeTrash(
  { testDatabase }: Pick<TestService, 'testDatabase'>,
  userId: string,
  count: number,
  age = '0 days',
): Promise<void> {
  await testDatabase.query(
    `with counter as (
      insert into app.change_counters as c (user_id, version) values ($1, $2)
      on conflict (user_id) do update set version = c.version + excluded.version returning c.version)
    insert into app.tasks (user_id, id, title, completed, created_at, updated_at, deleted_at, version)
    select $1, gen_random_uuid(), 'Task ' || n, false, at, at, at, version - $2::int + n
    from counter, generate_series(1, $2::int) n, lateral (select now() - $3::interval - n * interval '1 s') t (at)`,
    [userId, count, age],
  )
}
