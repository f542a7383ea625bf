import type { PoolClient } from 'pg'
import type { LendLimit, Pool } from '../../src/db/pool.ts'
import { AppError } from '../../src/errors.ts'

export const unavailable = (error: unknown) =>
  error instanceof AppError && error.code === 'DATABASE_UNAVAILABLE'

/** The process of the server that a connection leads to. */
export async function pidOf(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}

/** Lends a connection to work that lasts until it is released. */
export async function hold(pool: Pool, limit: LendLimit = 'deadline') {
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const { promise: begun, resolve: begin } = Promise.withResolvers<PoolClient>()
  const done = pool.lend(limit, async (client) => {
    begin(client)
    await held
    return pidOf(client)
  })
  return { client: await begun, release, done }
}
