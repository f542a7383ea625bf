import pg from 'pg'
import { signToken } from '../src/cli/sign-token.ts'
import { openDatabase } from '../src/db/database.ts'
import { benchSecret } from './processes.ts'
import type { User } from './scenarios.ts'

/** Tasks of a user that the load knows by their ids. */
const knownTasks = 16

export async function migrate(connectionString: string): Promise<void> {
  const database = openDatabase({ connection: { connectionString }, poolMax: 1 })
  try {
    await database.prepare()
  } finally {
    await database.close()
  }
}

/** Fills an empty, migrated database, by hand as its owner. Half of each user's tasks are completed. */
export async function seed(connectionString: string, users: number, tasks: number): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await client.query(
      `insert into app.tasks (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
      select 'user-' || i % $1, uuidv7(created - now()), 'Task ' || md5(i::text), repeat('words ', 20),
        i / $1 % 2 = 0, case when i / $1 % 2 = 0 then created end, created, created, i / $1 + 1
      from generate_series(0, $2::int - 1) i,
        lateral (select timestamptz '2026-01-01' + i * interval '20 s') at (created)`,
      [users, tasks],
    )
    await client.query(
      'insert into app.change_counters (user_id, version) select user_id, max(version) from app.tasks group by user_id',
    )
    await client.query('vacuum analyze app.tasks, app.change_counters')
  } finally {
    await client.end()
  }
}

/** Users of the load: the first of the seeded, with what is now true of them. */
export async function readUsers(client: pg.Client, count: number): Promise<User[]> {
  const { rows } = await client.query<{ id: string; version: string; tasks: string[] }>(
    `select c.user_id as id, c.version, t.tasks
    from generate_series(0, $1::int - 1) i join app.change_counters c on c.user_id = 'user-' || i,
      lateral (select array_agg(id::text) as tasks from (
        select id from app.tasks where user_id = c.user_id and deleted_at is null order by created_at limit $2) t) t`,
    [count, knownTasks],
  )
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
