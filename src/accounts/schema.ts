import type { BetterAuthOptions } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import type pg from 'pg'
import { OperatorError } from '../errors.ts'

/** Where the tables of accounts live, in the same database as the tasks. */
export const schemaName = 'auth'

/** Key of the advisory lock that lets one instance at a time prepare accounts: "bcac" in ASCII. */
const lockKey = 0x62636163

/** For the lock and the statements under it: another instance may be at work on a slow machine. */
const prepareTimeoutMs = 60_000

/** The schema of accounts cannot be made; the message says what is wrong and what to do. */
export class AccountsSchemaError extends OperatorError {
  override readonly name = 'AccountsSchemaError'
}

/** Users whose account is gone, and when their tasks are erased once more. */
const createErasureTable = `
  create table ${schemaName}.erasure (
    user_id text primary key,
    due_at timestamptz not null
  )`

async function hasErasureTable(pool: pg.Pool): Promise<boolean> {
  const { rows } = await pool.query<{ found: boolean }>(
    `select to_regclass('${schemaName}.erasure') is not null as found`,
  )
  return rows[0]?.found ?? false
}

/**
 * Runs work in a transaction that holds the lock of accounts, which the transaction itself owns, so that it also holds
 * behind a transaction pooler.
 */
export async function withAccountsLock<T>(
  pool: pg.Pool,
  work: (run: (text: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  const run = async (text: string) => {
    const query = { text, query_timeout: prepareTimeoutMs }
    await client.query(query)
  }
  let broken = true
  try {
    await run('begin')
    await run(`select pg_advisory_xact_lock(${lockKey})`)
    const result = await work(run)
    await run('commit')
    broken = false
    return result
  } finally {
    // A connection that is given up takes its transaction and the lock with it.
    client.release(broken)
  }
}

/**
 * Makes what Better Auth's configuration needs and the database lacks, all of it or nothing.
 *
 * @returns the names of what was made now
 * @throws AccountsSchemaError when rights are missing
 */
export async function migrateAccounts(pool: pg.Pool, options: BetterAuthOptions): Promise<string[]> {
  try {
    return await withAccountsLock(pool, async (run) => {
      const { toBeCreated, toBeAdded, toBeAddedIndexes, compileMigrations } = await getMigrations(options)
      const changed = [...toBeCreated, ...toBeAdded, ...toBeAddedIndexes].map(({ table }) => table)
      if (changed.length > 0) await run(await compileMigrations())
      // Looked for, rather than made if missing: a role that may only read and write rows would not be let.
      if (!(await hasErasureTable(pool))) {
        await run(createErasureTable)
        changed.push('erasure')
      }
      return Array.from(new Set(changed), (table) => `${schemaName}.${table}`)
    })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== '42501') throw error
    throw new AccountsSchemaError(
      `The role of DATABASE_URL lacks rights to make the schema ${schemaName}: let it create schemas in the database, or set ACCOUNTS=off.`,
      { cause: error },
    )
  }
}
