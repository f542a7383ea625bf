import { randomUUIDv7 } from 'node:crypto'
import type { UserScope } from '../src/db/database.ts'
import { type Call, call } from '../src/db/sql.ts'
import { formatListEtag } from '../src/http/list.ts'
import { insertCall } from '../src/tasks/batch-store.ts'
import { writeCursor } from '../src/tasks/changes-cursor.ts'
import { readFeed } from '../src/tasks/changes-store.ts'
import { readList } from '../src/tasks/list-parameters.ts'
import { listTasks } from '../src/tasks/list-store.ts'
import { changeTask, findTask, insertTask } from '../src/tasks/store.ts'

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
    runShort: (each: Call) => {
      calls.push(each)
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

/** The last statement that some work runs, with the values of these parameters to be filled in. */
function queryOf(
  work: (scope: UserScope) => Promise<unknown>,
  ...parameters: readonly string[]
): (userId: string, ...values: readonly string[]) => Query {
  const last = callsOf(work).at(-1)
  if (last === undefined) throw new Error('The store ran no statement')
  const { preparedAs: name, text, parameterList } = last.statement
  const template = [null, ...last.values]
  const positions = parameters.map(
    (parameter) => 1 + parameterList.findIndex((each) => each.name === parameter),
  )
  if (positions.includes(0)) throw new Error(`${name} has no parameters ${parameters.join(', ')}`)
  return (userId, ...given) => {
    const values = template.slice()
    values[0] = userId
    for (const [index, position] of positions.entries()) values[position] = given[index] ?? null
    return { name, text, values }
  }
}

function toTask(row: Row): object {
  return {
    id: row[0],
    user_id: row[1],
    title: row[2],
    description: row[3],
    completed: row[4] === 't',
    completed_at: row[5],
    created_at: row[6],
    updated_at: row[7],
    version: Number(row[8]),
  }
}

const ofTask = (status: number) => (rows: readonly Row[]) => {
  const [row] = rows
  if (row === undefined) throw new Error('The statement returned no task')
  return { status, data: toTask(row) }
}

function list(limit: number): Operation {
  const page = { after: undefined, limit: limit + 1, known: [], count: false }
  const query = queryOf((scope) => listTasks(scope, readList({}), page))
  return {
    request: () => ({ method: 'GET', path: `/api/me/tasks?limit=${limit}` }),
    query: ({ userId }) => query(userId),
    answer: (rows) => ({ status: 200, data: rows.slice(0, limit).map((row) => toTask(row)) }),
  }
}

const knownPage = { after: undefined, limit: 21, known: [0], count: false }
const knownQuery = queryOf((scope) => listTasks(scope, readList({}), knownPage), 'known')
const knownList: Operation = {
  request: ({ userId, counter }) => ({
    method: 'GET',
    path: '/api/me/tasks?limit=20',
    headers: { 'if-none-match': formatListEtag(userId, Number(counter)) },
  }),
  query: ({ userId, counter }) => knownQuery(userId, `{${counter}}`),
  answer: (rows) => ({ status: rows[0]?.[1] === null ? 304 : 200, data: [] }),
}

const anyId = '00000000-0000-0000-0000-000000000000'
const getQuery = queryOf((scope) => findTask(scope, anyId), 'id')
const get: Operation = {
  request: ({ task }) => ({ method: 'GET', path: `/api/me/tasks/${task}` }),
  query: ({ userId, task }) => getQuery(userId, task),
  answer: ofTask(200),
}

type Content = { readonly title: string; readonly description: string }

/** What a body of the benchmark's own holds. */
const readBody = <Body>({ body = '' }: Input): Body => JSON.parse(body)

const empty = { id: anyId, title: '', description: '', completed: false }
const createQuery = queryOf((scope) => insertTask(scope, empty), 'id', 'title', 'description')
const create: Operation = {
  request: () => ({ method: 'POST', path: '/api/me/tasks' }),
  query: (input) => {
    const { title, description } = readBody<Content>(input)
    return createQuery(input.userId, randomUUIDv7(), title, description)
  },
  answer: ofTask(201),
}

const updateQuery = queryOf((scope) => changeTask(scope, anyId, { title: '' }, null), 'id', 'title')
const update: Operation = {
  request: ({ task }) => ({ method: 'PATCH', path: `/api/me/tasks/${task}` }),
  query: (input) => updateQuery(input.userId, input.task, readBody<Content>(input).title),
  answer: ofTask(200),
}

const completeQuery = queryOf((scope) => changeTask(scope, anyId, { completed: 'toggle' }, null), 'id')
const complete: Operation = {
  request: ({ task }) => ({ method: 'PATCH', path: `/api/me/tasks/${task}/complete` }),
  query: ({ userId, task }) => completeQuery(userId, task),
  answer: ofTask(200),
}

type Batch = { readonly operations: readonly { readonly task: Content }[] }

// The statement that writes, as a transaction of its own; the service sends it within one that it begins and commits.
const batchQuery = queryOf((scope) => scope.runAll([insertCall([empty])]), 'tasks')
const batch: Operation = {
  request: () => ({ method: 'POST', path: '/api/me/tasks/batch' }),
  query: (input) => {
    const tasks = readBody<Batch>(input).operations.map(({ task }) => {
      return { id: randomUUIDv7(), ...task, completed: false }
    })
    return batchQuery(input.userId, JSON.stringify(tasks))
  },
  answer: (rows) => ({
    status: 200,
    data: rows.map((row, index) => ({ index, status: 201, task: toTask(row) })),
  }),
}

const nothingNew = { after: 0, start: 0, limit: 101 }
const changesQuery = queryOf((scope) => readFeed(scope, nothingNew), 'after', 'start')
const changes: Operation = {
  request: ({ userId, counter }) => {
    const position = { after: Number(counter), start: Number(counter) }
    return { method: 'GET', path: `/api/me/changes?since=${writeCursor(userId, position)}` }
  },
  query: ({ userId, counter }) => changesQuery(userId, counter, counter),
  answer: (rows) => {
    if (rows[0]?.[2] !== null) throw new Error('There is something new')
    return { status: 200, data: [] }
  },
}

export const operations = {
  'list-20': list(20),
  'list-100': list(100),
  'list-304': knownList,
  get,
  create,
  update,
  complete,
  batch,
  changes,
} as const satisfies Readonly<Record<string, Operation>>

export type OperationName = keyof typeof operations

const byName = new Map<string, Operation>(Object.entries(operations))

/** The operation of a name that came from another process. */
export function operationOf(name = ''): Operation {
  const found = byName.get(name)
  if (found === undefined) throw new Error(`There is no operation ${name}`)
  return found
}
