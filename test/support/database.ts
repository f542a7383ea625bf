import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** How the test run hands its cluster to the files: made by run.ts. */
export const clusterVariable = 'TEST_CLUSTER'

export type Cluster = {
  /** Connection of a role that may create databases. */
  readonly connection: pg.ClientConfig
  /** Connection of the services under test, where it goes through a pooler. */
  readonly pooled?: pg.ClientConfig
  /** Name of a migrated database to clone. */
  readonly template: string
}

export type TestDatabase = {
  readonly name: string
  readonly connection: pg.ClientConfig
  /** Runs SQL as the login role, outside any scope: what an operator or an attacker with the password could do. */
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>
  drop(): Promise<void>
}

export function cluster(): Cluster {
  const text = process.env[clusterVariable]
  if (text === undefined) throw new Error('Run the tests with: npm test (or npm test -- FILE …)')
  // Written by run.ts.
  return JSON.parse(text) as Cluster
}

/** A database of its own for one test file: a clone of the migrated template, or an empty one. */
export async function createTestDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const { connection, template, pooled } = cluster()
  const name = `test_${randomBytes(8).toString('hex')}`
  await administer(connection, `create database ${name} template ${options.empty ? 'template0' : template}`)
  const own = { ...connection, database: name }
  const pool = new pg.Pool({ ...own, max: 4, idleTimeoutMillis: 100 })
  // A test may take the server or this database away on purpose.
  pool.on('error', () => {})
  return {
    name,
    connection: pooled ? { ...pooled, database: name } : own,
    async query<R extends pg.QueryResultRow>(text: string, values?: unknown[]) {
      return (await pool.query<R>(text, values)).rows
    },
    async drop() {
      await pool.end()
      await administer(connection, `drop database if exists ${name} with (force)`)
    },
  }
}

export async function administer(connection: pg.ClientConfig, text: string): Promise<void> {
  const client = new pg.Client(connection)
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}
