import type { ClientBase, Connection, Submittable } from 'pg'
import type { Exchange } from './exchange.ts'

/**
 * Several exchanges that are all sent at once, and answered one after the other. Each ends with a Sync of its own and so is a
 * transaction of its own: what fails in one is nothing to the next.
 *
 * pg gives what comes back to the query that it holds for active, and takes the next one when that has ended; so this
 * gives itself to pg again for each exchange, having sent it long before. pg's own pipeline mode takes no query
 * objects, and would wait for answers that never come when a connection is to be closed.
 *
 * PostgreSQL documentation, 54.2.4 Pipelining.
 */
export class Pipeline implements Submittable {
  readonly #client: ClientBase
  readonly #exchanges: readonly Exchange[]
  /** The one that is being answered. */
  #at = 0

  /** @param exchanges all but the last prepared on the client: whoever is behind a Parse that fails would fail with it */
  constructor(client: ClientBase, exchanges: readonly Exchange[]) {
    this.#client = client
    this.#exchanges = exchanges
  }

  /** Sends all of them; each one's `result` tells of it. */
  start(): void {
    this.#client.query(this)
  }

  submit(connection: Connection): void {
    if (this.#at > 0) return
    const { stream } = connection
    stream.cork()
    for (const exchange of this.#exchanges) exchange.submit(connection)
    stream.uncork()
  }

  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
    this.#exchanges[this.#at]?.handleDataRow(message)
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.#exchanges[this.#at]?.handleCommandComplete(message)
  }

  handleReadyForQuery(): void {
    this.#exchanges[this.#at]?.handleReadyForQuery()
    this.#next()
  }

  /** Of the server: its ReadyForQuery follows, and pg goes on then. Of the connection: pg tells the next one the same. */
  handleError(error: unknown): void {
    this.#exchanges[this.#at]?.handleError(error)
    this.#next()
  }

  // As in Exchange: parts of pg's interface that are never needed.
  handleRowDescription(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}

  #next(): void {
    this.#at++
    if (this.#at < this.#exchanges.length) this.#client.query(this)
  }
}
