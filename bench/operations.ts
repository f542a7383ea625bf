import { randomUUIDv7 } from 'node:crypto'
import type { UserScope } from '../src/db/database.ts'
import { type Call, call } from '../src/db/sql.ts'
import { readList } from '../src/tasks/list-parameters.ts'
import { listTasks } from '../src/tasks/list-store.ts'
import { findTask, insertTask } from '../src/tasks/store.ts'

// What is asked, in the three ways in which it is measured: as a request to the service, as a request to the floor and as
// a statement to the database. The statements are those that the service sends: its stores are asked with a scope that
// writes down what it is to run.

/** What an operation works on. The body is what a client sends. */
export type Input = {
  readonly userId: string
  readonly task: string
  readonly counter: string
  readonly body: string | undefined
}

export type HttpRequest = {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

/** A statement as pg takes it, prepared under its name. */
export type Query = { readonly name: string; readonly text: string; readonly values: (string | null)[] }

export type Row = readonly (string | null)[]

export type Operation = {
  /** How the service is asked, the user's token aside. */
  readonly request: (input: Input) => HttpRequest
  readonly query: (input: Input) => Query
  /** What the floor answers. */
  readonly answer: (rows: readonly Row[]) => { readonly status: number; readonly data: unknown }
}

/** What the service would run for some work. */
function callsOf(work: (scope: UserScope) => Promise<unknown>): Call[] {
  const calls: Call[] = []
  const never = new Promise<never>(() => {})
  const scope = {
    userId: '',
    run: (statement: Call['statement'], values: Readonly<Record<string, never>>) => {
      calls.push(call(statement, values))
      return never
    },
    runAll: (all: readonly Call[]) => {
      calls.push(...all)
      return never
    },
  }
  // Not a scope of the database's: it runs nothing.
  void work(scope as unknown as UserScope)
  return calls
}

function queryOf(work: (scope: UserScope) => Promise<unknown>): (userId: string, values?: Row) => Query {
  const last = callsOf(work).at(-1)
  if (last === undefined) throw new Error('The store ran no statement')
  const { preparedAs: name, text } = last.statement
  return (userId, values = last.values) => ({ name, text, values: [userId, ...values] })
}

function toTask(row: Row, from: number): object {
  return {
    id: row[from],
    user_id: row[from + 1],
    title: row[from + 2],
    description: row[from + 3],
    completed: row[from + 4] === 't',
    completed_at: row[from + 5],
    created_at: row[from + 6],
    updated_at: row[from + 7],
    version: Number(row[from + 8]),
  }
}

const ofTask = (status: number) => (rows: readonly Row[]) => {
  const [row] = rows
  if (row === undefined) throw new Error('The statement returned no task')
  return { status, data: toTask(row, 0) }
}

function list(limit: number): Operation {
  const page = { after: undefined, limit: limit + 1, known: [], count: false }
  const query = queryOf((scope) => listTasks(scope, readList({}), page))
  return {
    request: () => ({ method: 'GET', path: `/api/me/tasks?limit=${limit}` }),
    query: ({ userId }) => query(userId),
    answer: (rows) => ({ status: 200, data: rows.slice(0, limit).map((row) => toTask(row, 1)) }),
  }
}

const unknownId = '00000000-0000-0000-0000-000000000000'
const getQuery = queryOf((scope) => findTask(scope, unknownId))
const get: Operation = {
  request: ({ task }) => ({ method: 'GET', path: `/api/me/tasks/${task}` }),
  query: ({ userId, task }) => getQuery(userId, [task]),
  answer: ofTask(200),
}

type Content = { readonly title: string; readonly description: string }

const createQuery = queryOf((scope) =>
  insertTask(scope, { id: unknownId, title: '', description: '', completed: false }),
)
const create: Operation = {
  request: () => ({ method: 'POST', path: '/api/me/tasks' }),
  query: ({ userId, body = '' }) => {
    const { title, description }: Content = JSON.parse(body)
    return createQuery(userId, [randomUUIDv7(), title, description, 'false'])
  },
  answer: ofTask(201),
}

export const operations = { 'list-20': list(20), get, create } as const satisfies Readonly<
  Record<string, Operation>
>

export type OperationName = keyof typeof operations

/** The operation of a name that came from another process. */
export function operationOf(name: string | undefined): Operation {
  const found = Object.entries(operations).find(([each]) => each === name)
  if (found === undefined) throw new Error(`There is no operation ${name}`)
  return found[1]
}
