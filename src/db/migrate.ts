import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import type { ClientBase } from 'pg'
import { OperatorError } from '../errors.ts'

const migrationsFolder = new URL('../../migrations/', import.meta.url)

/** Key of the advisory lock that lets one instance migrate at a time: "bcmi" in ASCII. */
const lockKey = 0x62636d69

const minimumServerVersion = 150_000

/** The database cannot be migrated; the message says what is wrong and what to do. */
export class MigrationError extends OperatorError {
  override readonly name = 'MigrationError'
}

type Migration = {
  readonly version: number
  readonly name: string
  readonly sql: string
  readonly checksum: string
}

/** The migrations of this version of the service, in order. */
async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(migrationsFolder))
    .filter((name) => /^\d{4}-[a-z0-9-]+\.sql$/.test(name))
    .sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(new URL(name, migrationsFolder), 'utf8')
      const checksum = createHash('sha256').update(sql).digest('hex')
      return { version: Number(name.slice(0, 4)), name, sql, checksum }
    }),
  )
}

/**
 * Brings the schema up to date: all pending migrations in one transaction, under an advisory lock that is the
 * transaction's own, so that it also holds behind a transaction pooler and two first starts at once are safe.
 * Migrations of a newer version of the service are left alone: an older one can serve beside it.
 *
 * @returns the names of the migrations applied now
 * @throws MigrationError for an old server, for a migration whose text has changed since it was applied, and for
 *   missing rights
 */
export async function migrate(client: ClientBase): Promise<string[]> {
  const migrations = await readMigrations()
  await client.query('begin')
  try {
    await client.query('select pg_advisory_xact_lock($1)', [lockKey])
    if (!(await hasMigrationsTable(client))) await client.query(createMigrationsTable)
    const applied = await readApplied(client)
    const pending = migrations.filter(({ version, name, checksum }) => {
      const before = applied.get(version)
      if (before !== undefined && before !== checksum) {
        throw new MigrationError(`Migration ${name} was changed after it was applied; restore its text.`)
      }
      return before === undefined
    })
    for (const { version, name, sql, checksum } of pending) {
      await client.query(sql)
      await client.query('insert into app.migrations (version, name, checksum) values ($1, $2, $3)', [
        version,
        name,
        checksum,
      ])
    }
    await client.query('commit')
    return pending.map(({ name }) => name)
  } catch (error) {
    await client.query('rollback')
    throw explain(error)
  }
}

/** Names of the migrations that this version of the service needs and the database lacks. */
export async function pendingMigrations(client: ClientBase): Promise<string[]> {
  const applied = (await hasMigrationsTable(client)) ? await readApplied(client) : new Map<number, string>()
  return (await readMigrations()).filter(({ version }) => !applied.has(version)).map(({ name }) => name)
}

/**
 * @throws MigrationError when the server is older than PostgreSQL 15
 */
export async function requireServerVersion(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ version: number; text: string }>(
    `select current_setting('server_version_num')::int as version, current_setting('server_version') as text`,
  )
  if ((rows[0]?.version ?? 0) < minimumServerVersion) {
    throw new MigrationError(`The database is PostgreSQL ${rows[0]?.text}; version 15 or later is needed.`)
  }
}

const createMigrationsTable = `
  create schema if not exists app;
  create table app.migrations (
    version int primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
  )`

async function hasMigrationsTable(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>(
    `select to_regclass('app.migrations') is not null as found`,
  )
  return rows[0]?.found ?? false
}

async function readApplied(client: ClientBase): Promise<Map<number, string>> {
  const { rows } = await client.query<{ version: number; checksum: string }>(
    'select version, checksum from app.migrations',
  )
  return new Map(rows.map(({ version, checksum }) => [version, checksum]))
}

function explain(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== '42501') return error
  const message =
    'The role of DATABASE_URL lacks rights to migrate: it must own the database (or may create schemas in it) and ' +
    'may create roles; see docs/operations.md.'
  return new MigrationError(message, { cause: error })
}
