import { hash } from 'node:crypto'
import type { ClientBase, Connection, Submittable } from 'pg'

/** A statement as it goes over the wire, prepared once a connection under its name. */
export type Step = {
  /** Made by preparedName. */
  readonly name: string
  readonly text: string
  readonly values: readonly (string | null)[]
  /** Takes each row as it arrives, as the text of its fields; without it rows are passed over. */
  readonly onRow?: (fields: readonly (string | null)[]) => void
}

/**
 * The name of a prepared statement on the server: it goes with the text, so that what another version of the service
 * may have left behind on a pooler's connection is never taken for it.
 */
export function preparedName(name: string, text: string): string {
  return `${name}_${hash('sha256', text, 'hex').slice(0, 12)}`
}

/**
 * How statements are prepared: once a connection under their names, or each time anew without a name, for poolers that
 * give every transaction another connection and know nothing of prepared statements.
 */
export type Preparation = 'named' | 'unnamed'

/** The parts of pg's wire connection that a query object uses; its type definitions leave them out. */
type Wire = Connection & {
  readonly stream: { cork(): void; uncork(): void }
  readonly parsedStatements: Record<string, string>
  parse(query: { name: string; text: string; types: number[] }): void
  bind(config: { statement: string; values: readonly (string | null)[] }): void
  execute(config: Record<string, never>): void
  sync(): void
}

/** pg's client as it is; its type definitions leave its wire connection out. */
type WiredClient = ClientBase & { readonly connection: Wire }

/**
 * One round trip: some statements and a single Sync. Outside an explicit transaction the Sync makes them one implicit
 * transaction, so nothing is left behind on the connection. It implements the interface by which pg takes a query
 * object of one's own (as pg-cursor does), without a name: pg would credit every ParseComplete to it.
 *
 * PostgreSQL documentation, 54.2.3 Extended Query and 54.2.4 Pipelining.
 */
export class Exchange implements Submittable {
  /** The command tag of the last statement, e.g. `COMMIT`, once the server has done them all. */
  readonly result: Promise<string>
  readonly #steps: readonly Step[]
  readonly #preparation: Preparation
  readonly #settle: { resolve: (tag: string) => void; reject: (error: unknown) => void }
  /** Steps whose Parse was sent and not yet answered, in order. */
  readonly #parsing: Step[] = []
  #wire: Wire | undefined
  #completed = 0
  #tag = ''

  constructor(steps: readonly Step[], preparation: Preparation = 'named') {
    this.#steps = steps
    this.#preparation = preparation
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    this.result = promise
    this.#settle = { resolve, reject }
  }

  /** Whether the server has all of its statements on this connection, so that only their names need to be sent. */
  isPreparedOn(client: ClientBase): boolean {
    // As in submit: the tests exercise it against a real server.
    const { parsedStatements } = (client as WiredClient).connection
    return (
      this.#preparation === 'named' && this.#steps.every(({ name }) => parsedStatements[name] !== undefined)
    )
  }

  submit(connection: Connection): void {
    // pg hands over its own connection object, whose full form the tests exercise against a real server.
    const wire = connection as Wire
    this.#wire = wire
    wire.stream.cork()
    for (const step of this.#steps) {
      if (this.#preparation === 'named') this.#prepare(wire, step)
      else wire.parse({ name: '', text: step.text, types: [] })
      wire.bind({ statement: this.#preparation === 'named' ? step.name : '', values: step.values })
      wire.execute({})
    }
    wire.sync()
    wire.stream.uncork()
    if (this.#parsing.length > 0) wire.on('parseComplete', this.#onParseComplete)
  }

  #prepare(wire: Wire, step: Step): void {
    const { name, text } = step
    if (wire.parsedStatements[name] !== undefined || this.#parsing.some((each) => each.name === name)) return
    wire.parse({ name, text, types: [] })
    this.#parsing.push(step)
  }

  /** Only what the server has parsed may be taken for prepared: after an error it skips the rest. */
  readonly #onParseComplete = (): void => {
    const step = this.#parsing.shift()
    if (step !== undefined && this.#wire !== undefined) this.#wire.parsedStatements[step.name] = step.text
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    try {
      this.#steps[this.#completed]?.onRow?.(fields)
    } catch (error) {
      // Thrown here it would be an uncaught exception of the socket.
      this.#settle.reject(error)
    }
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#completed++
    this.#tag = text
  }

  handleReadyForQuery(): void {
    this.#end()
    this.#settle.resolve(this.#tag)
  }

  handleError(error: unknown): void {
    this.#end()
    this.#settle.reject(error)
  }

  // Parts of pg's interface that this exchange never needs: no Describe is sent, no portal is limited.
  handleRowDescription(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}

  #end(): void {
    this.#wire?.off('parseComplete', this.#onParseComplete)
  }
}
