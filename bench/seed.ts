import pg from 'pg'
import { signToken } from '../src/cli/sign-token.ts'
import { openDatabase } from '../src/db/database.ts'
import { benchSecret } from './processes.ts'
import type { Progress } from './progress.ts'
import type { User } from './scenarios.ts'

/** Tasks of a user that the load knows by their ids. */
const knownTasks = 4

/** Rows of one insert, after which progress is told. */
const chunk = 200_000

/** The user that a scale test gives so many tasks. */
export const bigUser = 'user-big'

export type SeedPlan = {
  readonly users: number
  readonly tasksEach: number
  /** Tasks of one user more, who has many. */
  readonly tasksOfBigUser?: number
}

export async function migrate(connectionString: string): Promise<void> {
  const database = openDatabase({ connection: { connectionString }, poolMax: 1 })
  try {
    await database.prepare()
  } finally {
    await database.close()
  }
}

/** Ids of some users, from the first to the last alike. */
export function userIds(all: number, wanted = all): string[] {
  const count = Math.min(all, wanted)
  return Array.from({ length: count }, (_, at) => `user-${Math.floor((at * all) / count)}`)
}

/**
 * Fills an empty, migrated database, by hand as its owner; the indexes are made afterwards. Half of each user's tasks are
 * completed, and the tasks of a user lie among those of the others, as they do when they come day by day.
 */
export async function seed(
  connectionString: string,
  { users, tasksEach, tasksOfBigUser = 0 }: SeedPlan,
  progress: Progress,
): Promise<void> {
  const client = new pg.Client({ connectionString })
  // The statement under way tells of it too.
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(`set synchronous_commit = off; set maintenance_work_mem = '512MB'`)
    const indexes = await dropIndexes(client)
    await insertTasks(client, `'user-' || i % ${users}`, `i / ${users}`, users * tasksEach, progress)
    await insertTasks(client, `'${bigUser}'`, 'i', tasksOfBigUser, progress)
    for (const [at, index] of indexes.entries()) {
      progress.say(`seeding: index ${at + 1} of ${indexes.length}`)
      await client.query(index)
    }
    progress.say('seeding: statistics')
    await client.query(
      'insert into app.change_counters (user_id, version) select user_id, max(version) from app.tasks group by user_id',
    )
    await client.query('vacuum (analyze) app.tasks, app.change_counters')
    await client.query('checkpoint')
  } finally {
    await client.end()
  }
}

/** @param userId and place are of this module's own, as SQL of the number i */
async function insertTasks(
  client: pg.Client,
  userId: string,
  place: string,
  count: number,
  progress: Progress,
): Promise<void> {
  for (let from = 0; from < count; from += chunk) {
    progress.say(`seeding: ${from.toLocaleString('en')} of ${count.toLocaleString('en')} tasks`)
    await client.query(
      `insert into app.tasks (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
      select ${userId}, uuidv7(created - now()), 'Task ' || md5(i::text), repeat('words ', 20),
        ${place} % 2 = 0, case when ${place} % 2 = 0 then created end, created, created, ${place} + 1
      from generate_series($1::int, $2::int) i,
        lateral (select timestamptz '2026-01-01' + i * interval '2 s') at (created)`,
      [from, Math.min(from + chunk, count) - 1],
    )
  }
}

/** Takes the indexes of the tasks away. @returns the statements that make them again */
async function dropIndexes(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ drop: string; make: string }>(
    `select format('alter table app.tasks drop constraint %I', conname) as drop,
      format('alter table app.tasks add constraint %I %s', conname, pg_get_constraintdef(oid)) as make
    from pg_constraint where conrelid = 'app.tasks'::regclass and contype in ('p', 'u')
    union all
    select format('drop index app.%I', c.relname), pg_get_indexdef(i.indexrelid)
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = 'app.tasks'::regclass
      and not exists (select from pg_constraint where conindid = i.indexrelid and conrelid = i.indrelid)`,
  )
  for (const { drop } of rows) await client.query(drop)
  return rows.map(({ make }) => make)
}

/** Users as they are now. */
export async function readUsers(client: pg.Client, ids: readonly string[]): Promise<User[]> {
  const { rows } = await client.query<{ id: string; version: string; tasks: string[] }>(
    `select c.user_id as id, c.version, t.tasks
    from unnest($1::text[]) id join app.change_counters c on c.user_id = id,
      lateral (select array_agg(id::text) as tasks from (
        select id from app.tasks where user_id = c.user_id and deleted_at is null order by created_at limit $2) t) t`,
    [ids, knownTasks],
  )
  if (rows.length !== ids.length) throw new Error(`${rows.length} of ${ids.length} users are there`)
  return rows.map(({ id, version, tasks }) => {
    return { id, tasks, counter: Number(version), token: tokenOf(id) }
  })
}

const tokens = new Map<string, string>()

function tokenOf(userId: string): string {
  const token = tokens.get(userId) ?? signToken({ secret: benchSecret, userId })
  tokens.set(userId, token)
  return token
}
