import { createHash, randomUUID } from 'node:crypto'
import { type Statement, statements } from '../../src/db/sql.ts'
// Registers every statement of the service.
import '../../src/app.ts'
import '../../src/tasks/sweep.ts'
import type { TestDatabase } from './database.ts'
import { vacuum } from './explain.ts'
import { isListStatement, wholeList } from './list-values.ts'

// Values with which every statement is explained, and the rows that it is explained on.

export const largestUser = 'user-0'

/** Stores 100 tasks of each of 1,000 users and 5,000 of one more, and as many that were deleted. */
export async function fillForPlans({ query }: TestDatabase, users = 1000): Promise<void> {
  // The ids are spread over the index, the times over half a year; one task in fifty is completed.
  await query(`
    insert into app.tasks (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
    select 'user-' || u, md5(u || '/' || i)::uuid, 'Task ' || i, repeat('words ', 20), i % 50 = 0,
      case when i % 50 = 0 then timestamptz '2026-11-01' end, created, created, i
    from (
      select 0 as u, i from generate_series(1, 5000) i
      union all select u, i from generate_series(1, ${users}) u, generate_series(1, 100) i) task,
      lateral (select timestamptz '2026-01-01' + i * interval '1 hour' + u * interval '1 s') at (created)`)
  // The same in the trash and removed for good, the older half of them due; and idempotency keys, one in ten of them expired.
  await query(`
    with many as (
      select 'user-' || u as user_id, i, i % 50 = 0 as completed,
        now() - case when i % 100 < 50 then interval '100 days' else interval '0 days' end - i * interval '1 minute' as at
      from (
        select 0 as u, i from generate_series(1, 5000) i
        union all select u, i from generate_series(1, ${users}) u, generate_series(1, 100) i) each),
    trash as (
      insert into app.tasks
        (user_id, id, title, description, completed, completed_at, created_at, updated_at, deleted_at, version)
      select user_id, md5(user_id || ' trash ' || i)::uuid, 'Trash ' || i, repeat('words ', 20), completed, case when completed then at end,
        at, at, at, 10000 + i from many)
    insert into app.deletions (user_id, id, version, removed_at)
    select user_id, md5(user_id || ' gone ' || i)::uuid, 20000 + i, at from many`)
  await query(`
    insert into app.change_counters (user_id, version) select user_id, 30000 from app.tasks group by user_id`)
  await query(`
    insert into app.idempotency_keys (user_id, key, fingerprint, answer, expires_at)
    select 'user-' || u, 'key-' || i, 'x', '{}', now() + case when i % 10 = 0 then interval '-1 h' else interval '1 h' end
    from (
      select 0 as u, i from generate_series(1, 5000) i
      union all select u, i from generate_series(1, ${users}) u, generate_series(1, 10) i) kept`)
  await vacuum(query, 'app.tasks')
  await vacuum(query, 'app.change_counters')
  await vacuum(query, 'app.deletions')
  await vacuum(query, 'app.idempotency_keys')
}

export type Values = Readonly<Record<string, unknown>>

/** The id that the fill gives to a task. */
const idOf = (task: string) =>
  createHash('md5')
    .update(task)
    .digest('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
const id = idOf('0/2500')
/** One that is not due, and its place among those that are in the trash. */
const trashed = { deleted_at: new Date(Date.now() - 60 * 60_000).toISOString(), id: idOf('user-0 trash 60') }
/** The longest page: 500 tasks, and the one that tells whether another follows. */
export const longestPage = 501
const limit = longestPage
const noChange = {
  title: null,
  set_description: false,
  description: null,
  completed: null,
  toggle: false,
  if_match: null,
}
const newest = { deleted_at: 'infinity', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }
const batch = { lock_key: 1, limit: 500 }
const newTask = { title: 'New', description: null, completed: true }
const newTasks = Array.from({ length: 100 }, () => ({ id: randomUUID(), ...newTask }))

const firstId = '00000000-0000-0000-0000-000000000000'
const time = '2026-04-15T04:00:00.000Z'
const imported = (each: string) => ({
  ...{ id: each, title: 'Imported', description: null, completed: true, completed_at: time },
  ...{ created_at: time, updated_at: null, deleted_at: null },
})

/** Values of each statement, for the user with the most tasks, and how many rows one scan may read with them. */
export const planCases: Readonly<Record<string, readonly { values: Values; rows: number }[]>> = {
  get_task: [
    { values: { id }, rows: 1 },
    { values: { id: randomUUID() }, rows: 0 },
  ],
  lock_counter: [{ values: {}, rows: 0 }],
  lock_idempotency_key: [{ values: { key: 'key-1' }, rows: 0 }],
  find_idempotency_key: [
    { values: { key: 'key-7' }, rows: 1 },
    // Expired, and unknown.
    { values: { key: 'key-10' }, rows: 1 },
    { values: { key: 'other' }, rows: 0 },
  ],
  keep_idempotency_key: [
    { values: { key: 'other', fingerprint: 'x', answer: {} }, rows: 0 },
    { values: { key: 'key-10', fingerprint: 'x', answer: {} }, rows: 0 },
  ],
  create_task: [{ values: { id: randomUUID(), ...newTask }, rows: 0 }],
  update_task: [
    { values: { id, ...noChange, title: 'Other', set_description: true }, rows: 1 },
    { values: { id, ...noChange, toggle: true, if_match: [2500] }, rows: 1 },
    { values: { id, ...noChange, if_match: [7, 8] }, rows: 1 },
    { values: { id: randomUUID(), ...noChange }, rows: 1 },
  ],
  delete_task: [{ values: { id, if_match: [2500] }, rows: 1 }],
  create_tasks: [{ values: { tasks: newTasks }, rows: 0 }],
  export_tasks: [
    { values: { from: firstId, limit }, rows: limit },
    { values: { from: id, limit: 20 }, rows: 20 },
  ],
  import_tasks: [
    // A look-up for each line, which finds one row at most: a little over 1 is the rounding of an average.
    { values: { tasks: [imported(id), ...newTasks.map((task) => imported(task.id))] }, rows: 2 },
    { values: { tasks: Array.from({ length: 500 }, () => imported(randomUUID())) }, rows: 2 },
  ],
  expire_cursors: [{ values: {}, rows: 1 }],
  erase_tasks: [
    { values: { from: firstId, limit: 500 }, rows: 500 },
    { values: { from: id, limit: 5 }, rows: 6 },
  ],
  erase_deletions: [{ values: { from: firstId, limit: 500 }, rows: 500 }],
  erase_idempotency_keys: [{ values: { from: '', limit: 500 }, rows: 500 }],
  restore_task: [
    { values: { id: trashed.id }, rows: 1 },
    { values: { id }, rows: 1 },
    { values: { id: randomUUID() }, rows: 1 },
  ],
  purge_task: [
    { values: { id: trashed.id, if_match: null }, rows: 1 },
    { values: { id: trashed.id, if_match: [10060] }, rows: 1 },
    { values: { id, if_match: null }, rows: 1 },
  ],
  empty_trash: [
    { values: { limit: 5000 }, rows: 5000 },
    { values: { limit: 100 }, rows: 100 },
  ],
  list_trash: [
    { values: { limit, known: [], ...newest }, rows: limit },
    { values: { limit, known: [], ...trashed }, rows: limit },
    { values: { limit: 2, known: [], ...trashed }, rows: 2 },
    { values: { limit, known: [30000], ...newest }, rows: 1 },
  ],
  count_trash: [
    { values: { known: [] }, rows: 5000 },
    { values: { known: [30000] }, rows: 1 },
  ],
  sweep_trash: [
    { values: { ...batch, days: 30 }, rows: 500 },
    { values: { ...batch, days: 200 }, rows: 1 },
  ],
  sweep_deletions: [
    { values: { ...batch, days: 90 }, rows: 500 },
    { values: { ...batch, days: 200 }, rows: 1 },
  ],
  sweep_idempotency_keys: [{ values: batch, rows: 500 }],
  list_changes: [
    { values: { after: 0, start: null, limit }, rows: limit },
    { values: { after: 2500, start: 5000, limit }, rows: limit },
    { values: { after: 24_990, start: 24_990, limit }, rows: 10 },
    // Nothing new, and nothing but the counter.
    { values: { after: 30_000, start: 30_000, limit: 101 }, rows: 1 },
    { values: { after: 0, start: null, limit: 0 }, rows: 1 },
  ],
  ...Object.fromEntries(
    [...statements.values()].filter(isListStatement).map((each) => [each.name, listCases(each)]),
  ),
}

/** What list-plans.test.ts looks at more closely: a list of those that are not completed, or of all. */
function listCases({ name, parameters }: Statement): { values: Values; rows: number }[] {
  const values = wholeList(parameters)
  if (!name.startsWith('list')) return [{ values, rows: 5000 }]
  return [
    { values, rows: limit },
    { values: { ...values, limit: 2 }, rows: 2 },
    { values: { ...values, known: [5000, 30000] }, rows: 1 },
  ]
}

/** As `planCases`, for the statements that look across users; a scan may be repeated for each user of a page. */
export const observerCases: Readonly<Record<string, readonly { values: Values; rows: number }[]>> = {
  find_due_users: [
    { values: { after: '', limit: 400, trash_days: 30, deletions_days: 90 }, rows: 400 },
    { values: { after: 'user-5', limit: 400, trash_days: 200, deletions_days: 200 }, rows: 400 },
    { values: { after: 'user-998', limit: 400, trash_days: 30, deletions_days: 90 }, rows: 1 },
  ],
}
