import type pg from 'pg'
import { type AccountsLogger, describeError } from './logging.ts'
import { schemaName } from './schema.ts'

/**
 * How long after an account is gone its user's tasks are erased once more: longer than the last token that the user
 * may hold can be good for (15 minutes, and at most 5 of clock tolerance).
 */
const secondErasureAfter = '30 minutes'

const sweepIntervalMs = 60_000

/** Sessions and password go with the user row (on delete cascade): the account is whole or gone. */
const deleteAccount = `
  with gone as (delete from ${schemaName}."user" where id = $1 returning id)
  insert into ${schemaName}.erasure (user_id, due_at)
  select id, now() + interval '${secondErasureAfter}' from gone
  on conflict (user_id) do update set due_at = excluded.due_at`

const findDue = `select user_id from ${schemaName}.erasure where due_at <= now() order by due_at limit 100`

const forget = `delete from ${schemaName}.erasure where user_id = $1`

export type ErasureOptions = {
  readonly pool: pg.Pool
  /** Erases everything else that the user has. */
  readonly onUserDeleted: (userId: string) => Promise<void>
  readonly logger: AccountsLogger
}

export type Erasure = {
  /**
   * Erases the user's tasks, then the account. Where the first fails nothing has happened; where the second fails the
   * account is still there to try again with: tasks that belong to nobody are never left.
   */
  eraseUser(userId: string): Promise<void>
  /** Erases, now and every minute, what holders of a token created after their account was gone. */
  start(): void
  stop(): Promise<void>
}

/** What becomes of a user whose account is deleted. */
export function createErasure({ pool, onUserDeleted, logger }: ErasureOptions): Erasure {
  let timer: NodeJS.Timeout | undefined
  let sweeping: Promise<void> = Promise.resolve()

  /** One that fails is left for the next time, and holds up no other. */
  async function eraseAgain(userId: string): Promise<void> {
    try {
      await onUserDeleted(userId)
      await pool.query(forget, [userId])
    } catch (error) {
      warn(error)
    }
  }

  async function sweep(): Promise<void> {
    try {
      const { rows } = await pool.query<{ user_id: string }>(findDue)
      for (const { user_id: userId } of rows) await eraseAgain(userId)
    } catch (error) {
      warn(error)
    }
  }

  function warn(error: unknown): void {
    const err = error instanceof Error ? describeError(error) : undefined
    logger.warn({ err }, 'accounts: erasing again failed; it is tried again')
  }

  return {
    async eraseUser(userId) {
      await onUserDeleted(userId)
      await pool.query(deleteAccount, [userId])
    },
    start() {
      if (timer !== undefined) return
      const next = () => {
        sweeping = sweeping.then(sweep)
      }
      next()
      timer = setInterval(next, sweepIntervalMs).unref()
    },
    async stop() {
      clearInterval(timer)
      await sweeping
    },
  }
}
