import type { Connection, Submittable } from 'pg'
import { parseRow, type Shape, type Statement, type ValuesOf } from './sql.ts'

/** The role that every statement on a user's data runs under: it owns nothing and cannot bypass row-level security. */
export const appRole = 'backend_core_app'

/**
 * The statement that raises the third wall for the transaction that it runs in, and no longer: role and user are set
 * with is_local. The time zone makes the text of timestamps a constant form; the time-out is the server's half of
 * the database's deadline.
 */
export const scopeStatement = {
  name: 'scope',
  text: `select set_config('role', $1, true), set_config('app.user_id', $2, true), set_config('TimeZone', 'UTC', true), set_config('statement_timeout', $3, true)`,
  /** Values that change nothing, to prepare it before the role exists. */
  neutralValues: ['none', '', '0'],
}

/** The parts of pg's wire connection that a query object uses; its type definitions leave them out. */
type Wire = Connection & {
  readonly stream: { cork(): void; uncork(): void }
  readonly parsedStatements: Record<string, string>
  parse(query: { name: string; text: string; types: number[] }): void
  bind(config: { statement: string; values: (string | null)[] }): void
  execute(config: Record<string, never>): void
  sync(): void
}

type DataRow = { readonly fields: readonly (string | null)[] }

/**
 * One round trip that binds the user and runs one statement: [Parse], Bind scope, Execute, Bind, Execute, Sync. The
 * single Sync makes the two one implicit transaction, so nothing is left behind on the connection. It implements the
 * interface by which pg takes a query object of one's own (as pg-cursor does). The scope statement must have been
 * prepared on the connection by an ordinary query: pg credits a ParseComplete to the query under way, by `name`.
 *
 * PostgreSQL documentation, 54.2.3 Extended Query and 54.2.4 Pipelining.
 */
export class ScopedQuery<R extends Shape> implements Submittable {
  /** What pg records as prepared on the connection when ParseComplete arrives. */
  readonly name: string
  readonly text: string
  readonly result: Promise<ValuesOf<R>[]>
  readonly #statement: Statement<Shape, R>
  readonly #scopeValues: (string | null)[]
  readonly #values: (string | null)[]
  readonly #rows: ValuesOf<R>[] = []
  readonly #settle: { resolve: (rows: ValuesOf<R>[]) => void; reject: (error: unknown) => void }
  #completed = 0

  constructor(
    statement: Statement<Shape, R>,
    userId: string,
    values: readonly (string | null)[],
    timeoutMs: number,
  ) {
    this.name = statement.name
    this.text = statement.text
    this.#statement = statement
    this.#scopeValues = [appRole, userId, String(timeoutMs)]
    this.#values = [userId, ...values]
    const { promise, resolve, reject } = Promise.withResolvers<ValuesOf<R>[]>()
    this.result = promise
    this.#settle = { resolve, reject }
  }

  submit(connection: Connection): void {
    // pg hands over its own connection object, whose full form the tests exercise against a real server.
    const wire = connection as Wire
    wire.stream.cork()
    if (wire.parsedStatements[this.name] === undefined) {
      wire.parse({ name: this.name, text: this.text, types: [] })
    }
    wire.bind({ statement: scopeStatement.name, values: this.#scopeValues })
    wire.execute({})
    wire.bind({ statement: this.name, values: this.#values })
    wire.execute({})
    wire.sync()
    wire.stream.uncork()
  }

  handleDataRow(message: DataRow): void {
    // The first result is the scope's own.
    if (this.#completed !== 1) return
    try {
      this.#rows.push(parseRow(this.#statement, message.fields))
    } catch (error) {
      // Thrown here it would be an uncaught exception of the socket.
      this.#settle.reject(error)
    }
  }

  handleCommandComplete(): void {
    this.#completed++
  }

  handleReadyForQuery(): void {
    this.#settle.resolve(this.#rows)
  }

  handleError(error: unknown): void {
    this.#settle.reject(error)
  }

  // Parts of pg's interface that this exchange never needs: no Describe is sent, no portal is limited.
  handleRowDescription(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}
