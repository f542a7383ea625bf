import { preparedName, type Step } from './exchange.ts'
import { enterScope } from './scope.ts'
import type { Session } from './sessions.ts'
import { type Call, type Columns, call, type Shape, type Statement, type ValuesOf } from './sql.ts'
import { databaseUnavailable } from './sqlstate.ts'

/** A step on the data of a user that adds its rows to a list as they arrive. */
export function reading<R extends Columns>(
  { statement, values }: Call<R>,
  userId: string,
): {
  readonly step: Step
  readonly rows: ValuesOf<R>[]
} {
  const rows: ValuesOf<R>[] = []
  const { preparedAs: name, text, readRow } = statement
  const onRow = (fields: readonly (string | null)[]) => rows.push(readRow(fields))
  return { step: { name, text, values: [userId, ...values], onRow }, rows }
}

export type TransactionOptions = {
  /** All statements see the database as it was at the first, and none may write. */
  readonly snapshot?: boolean
  /** Longest time that the whole transaction may take, in milliseconds; the database's deadline when left out. */
  readonly timeoutMs?: number
}

/** A service that is cut off from the server must not keep its locks for long. */
const idleTimeoutMs = 10_000

const begin = step('begin isolation level read committed')
const beginSnapshot = step('begin isolation level repeatable read read only')
const commit = step('commit')
const rollback = step('rollback')
const limitIdleness = step(`select set_config('idle_in_transaction_session_timeout', $1, true)`, [
  String(idleTimeoutMs),
])

function step(text: string, values: string[] = []): Step {
  return { name: preparedName('transaction', text), text, values }
}

/** `savepoint`, `release savepoint` or `rollback to savepoint`, at a depth of nesting. */
function savepointStep(command: string, depth: number): Step {
  return step(`${command} s${depth}`)
}

/**
 * A transaction in a user's scope. What begins, nests and ends it costs no round trip of its own but the commit: such
 * steps wait, and go with the next statements.
 */
export class Transaction {
  readonly #session: Session
  readonly #userId: string
  readonly #waiting: Step[]
  /** Whether the server has begun it. */
  #begun = false
  #queued = false
  #over = false
  #depth = 0
  #wrote = false

  constructor(session: Session, userId: string, timeoutMs: number, { snapshot }: TransactionOptions) {
    this.#session = session
    this.#userId = userId
    this.#waiting = [snapshot ? beginSnapshot : begin, enterScope(userId, timeoutMs), limitIdleness]
  }

  /** Whether it changed anything; meaningful once it is committed. */
  get wrote(): boolean {
    return this.#wrote
  }

  async run<P extends Shape, R extends Columns>(
    statement: Statement<P, R>,
    values: ValuesOf<P>,
  ): Promise<ValuesOf<R>[]> {
    const { step, rows } = reading(call(statement, values), this.#userId)
    this.#note(statement)
    await this.#send([step])
    return rows
  }

  async runAll(calls: readonly Call[]): Promise<{ readonly rows: ValuesOf<Columns>[] }[]> {
    const all = calls.map((each) => reading(each, this.#userId))
    for (const { statement } of calls) this.#note(statement)
    await this.#send(all.map(({ step }) => step))
    return all
  }

  queue({ statement: { preparedAs: name, text, writes }, values }: Call): void {
    this.#wrote ||= writes
    this.#queued = true
    this.#waiting.push({ name, text, values: [this.#userId, ...values] })
  }

  /** Runs work between a savepoint and its release, or the return to it when the work throws. */
  async nest<T>(work: () => Promise<T>): Promise<T> {
    const depth = ++this.#depth
    this.#waiting.push(savepointStep('savepoint', depth))
    try {
      const result = await work()
      this.#waiting.push(savepointStep('release savepoint', depth))
      return result
    } catch (error) {
      this.#returnTo(depth)
      throw error
    } finally {
      this.#depth--
    }
  }

  /** @throws Error when the server did not commit, as after a failed statement whose error was swallowed */
  async commit(): Promise<void> {
    if (!this.#begun && !this.#queued) return
    const tag = await this.#send([commit])
    if (tag !== 'COMMIT') throw new Error(`The transaction ended with ${tag}, not with COMMIT`)
  }

  /** @returns whether it is over for the server too; where not, the connection must not be used again */
  async rollback(): Promise<boolean> {
    this.#waiting.length = 0
    if (!this.#begun) return true
    try {
      await this.#session.exchange([rollback])
      return true
    } catch {
      // Why the work failed says more; the end of the connection undoes what is left.
      return false
    }
  }

  /** What runs later, as after the deadline, must not meet the next user of the connection. */
  end(): void {
    this.#over = true
  }

  #note({ writes }: Statement): void {
    this.#wrote ||= writes
  }

  #returnTo(depth: number): void {
    const name = savepointStep('savepoint', depth).name
    const unsent = this.#waiting.findIndex((step) => step.name === name)
    if (unsent >= 0) this.#waiting.splice(unsent)
    else this.#waiting.splice(0, this.#waiting.length, savepointStep('rollback to savepoint', depth))
  }

  #send(steps: readonly Step[]): Promise<string> {
    if (this.#over) throw databaseUnavailable(new Error('The transaction is over'))
    const all = [...this.#waiting.splice(0), ...steps]
    this.#begun = true
    return this.#session.exchange(all)
  }
}
