import type { ClientBase } from 'pg'
import { LinkedList } from '../lib/linked-list.ts'
import type { Deadline } from './deadline.ts'
import { Exchange, type Preparation, type Step } from './exchange.ts'
import type { LendLimit, Pool } from './pool.ts'
import { isConflict, isConnectionLost, isPreparedStatementLost, stopping } from './sqlstate.ts'

/** A connection that runs one exchange after the other. */
export type Session = {
  /** @returns the command tag of the last step */
  exchange(steps: readonly Step[]): Promise<string>
}

/**
 * Has exchanges run over the connections of a pool, and run again where that is safe: what the server has rolled back for
 * others' sake, what only reads and lost its connection, and what lost its prepared statements. The last shows a pooler
 * that does not keep them; from then on statements go without names.
 */
export class Sessions {
  readonly #pool: Pool
  readonly #onPreparedStatementLost: () => void
  /** Those of connections that are lent to one; the pool has the others. */
  readonly #underWay = new LinkedList<Exchange>()
  #preparation: Preparation = 'named'
  #roundTrips = 0

  /** @param onPreparedStatementLost told once, when the first statement is lost */
  constructor(pool: Pool, onPreparedStatementLost: () => void) {
    this.#pool = pool
    this.#onPreparedStatementLost = onPreparedStatementLost
  }

  /** Exchanges so far. */
  get roundTrips(): number {
    return this.#roundTrips
  }

  /** Runs work with a connection of its own; the parameters and errors as of `Pool.lend`. */
  lend<T>(
    limit: LendLimit,
    writes: boolean,
    work: (session: Session, deadline: Deadline) => Promise<T>,
  ): Promise<T> {
    return this.#pool.lend(
      limit,
      (client, deadline) => work({ exchange: (steps) => this.#exchange(client, steps) }, deadline),
      (error) => this.#isWorthAnother(error, writes),
    )
  }

  /**
   * Runs one short exchange over a connection that it shares.
   *
   * @param stepsOf what to send, anew each time that it is tried; whether it shares a connection, where it may not wait for locks
   * @throws what `Pool.share` throws
   */
  share(
    writes: boolean,
    stepsOf: (deadline: Deadline, isSharing: boolean) => readonly Step[],
  ): Promise<void> {
    return this.#pool.share(
      {
        writes,
        begin: (deadline) => this.#begin(stepsOf(deadline, true)),
        runAlone: (client, deadline) => this.#exchange(client, stepsOf(deadline, false)),
      },
      (error) => this.#isWorthAnother(error, writes),
    )
  }

  /** Gives up all that is under way. */
  giveUp(): void {
    for (const exchange of this.#underWay) exchange.handleError(stopping())
  }

  async #exchange(client: ClientBase, steps: readonly Step[]): Promise<string> {
    const exchange = this.#begin(steps)
    const place = this.#underWay.append(exchange)
    try {
      client.query(exchange)
      return await exchange.result
    } finally {
      this.#underWay.remove(place)
    }
  }

  #begin(steps: readonly Step[]): Exchange {
    this.#roundTrips++
    return new Exchange(steps, this.#preparation)
  }

  #isWorthAnother(error: unknown, writes: boolean): boolean {
    if (isPreparedStatementLost(error)) {
      if (this.#preparation === 'named') this.#onPreparedStatementLost()
      this.#preparation = 'unnamed'
      return true
    }
    return isConflict(error) || (!writes && isConnectionLost(error))
  }
}
