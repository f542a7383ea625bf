import { preparedName } from './exchange.ts'
import { type Parsers, type PostgresType, parsers, toText } from './types.ts'

declare const fragmentBrand: unique symbol

/** A piece of SQL text written in this code base. A plain string is not one, so no input can become SQL. */
export type Fragment = { readonly text: string; readonly [fragmentBrand]: true }

/**
 * SQL text as a tagged template. Only other fragments can be interpolated, placeholders among them; a value is a
 * type error.
 */
export function sql(strings: TemplateStringsArray, ...parts: readonly Fragment[]): Fragment {
  const text = strings.reduce((all, each, index) => `${all}${parts[index - 1]?.text ?? ''}${each}`)
  // The only place that makes a Fragment: its text is template literals alone.
  return { text } as Fragment
}

/** A PostgreSQL type, with `?` where it may be null. */
type Type = PostgresType | `${PostgresType}?`

/** Parameters, in order, or the columns of a table: name → type. */
export type Shape = Readonly<Record<string, Type>>

/**
 * Columns that a statement returns, in order: name → type. Those under a symbol, whose description is their name, come last,
 * and JSON leaves them out: what a row tells of itself beside what it shows, without a copy that lacks it.
 */
export type Columns = Readonly<Record<string | symbol, Type>>

type ValueOf<T> = T extends `${infer U extends PostgresType}?`
  ? ReturnType<Parsers[U]> | null
  : T extends PostgresType
    ? ReturnType<Parsers[T]>
    : never

/** The static type of a row of these columns, or of the values of these parameters. */
export type ValuesOf<S extends Columns> = { readonly [K in keyof S]: ValueOf<S[K]> }

type Declared<P extends Shape, R extends Columns> = {
  readonly name: string
  /** Its name on the server. */
  readonly preparedAs: string
  readonly text: string
  readonly parameters: P
  readonly columns: R
  /** The same as a list in order, worked out once. */
  readonly parameterList: readonly { readonly name: string; readonly type: PostgresType }[]
  /** The columns likewise. */
  readonly columnList: readonly {
    readonly key: string | symbol
    readonly name: string
    readonly type: Type
  }[]
  /** Turns the text of each field of a row, in the order of the columns, into values. */
  readonly readRow: RowReader<R>
}

export type RowReader<R extends Columns> = (fields: readonly (string | null)[]) => ValuesOf<R>

/**
 * A statement on the data of one user, prepared once a connection under its name. Its first parameter, `user_id`,
 * is not among `parameters`: the scope that runs it supplies it.
 */
export type Statement<P extends Shape = Shape, R extends Columns = Columns> = Declared<P, R> & {
  readonly on: 'user'
  /** Whether it inserts, updates or deletes. */
  readonly writes: boolean
}

/** A statement that looks across users, under the role that may see which of them have something new and no more. */
export type ObserverStatement<P extends Shape = Shape, R extends Columns = Columns> = Declared<P, R> & {
  readonly on: 'all users'
}

/** A statement with the values that it is to run with. */
export type Call<R extends Columns = Columns> = {
  readonly statement: Statement<Shape, R>
  readonly values: readonly (string | null)[]
}

type Placeholders<Name extends PropertyKey> = { readonly [K in Name]: Fragment }

const registered = new Map<string, Statement>()
const registeredObservers = new Map<string, ObserverStatement>()

/** Every statement that the service can send, by name: the tests prepare and explain each of them. */
export const statements: ReadonlyMap<string, Statement> = registered

/** The same for those that look across users. */
export const observerStatements: ReadonlyMap<string, ObserverStatement> = registeredObservers

const writing = /\b(?:insert into|update|delete from) app\./

/**
 * Declares a statement.
 *
 * @param name its unique name, also on the server
 * @param parameters name → type of each parameter after user_id, in order
 * @param columns name → type of each column that it returns, in the order of its select list
 * @param write writes the text, given a placeholder for each parameter and for `user_id`
 */
export function statement<const P extends Shape, const R extends Columns>(
  name: string,
  parameters: P,
  columns: R,
  write: (placeholders: Placeholders<keyof P | 'user_id'>) => Fragment,
): Statement<P, R> {
  const text = write(placeholdersOf(['user_id', ...Object.keys(parameters)]))
  const made = declare(name, parameters, columns, text)
  const declared: Statement<P, R> = { ...made, on: 'user', writes: writing.test(made.text) }
  registered.set(name, declared)
  return declared
}

/** Declares a statement that looks across users; the parameters as in `statement`, without user_id. */
export function observerStatement<const P extends Shape, const R extends Columns>(
  name: string,
  parameters: P,
  columns: R,
  write: (placeholders: Placeholders<keyof P>) => Fragment,
): ObserverStatement<P, R> {
  const text = write(placeholdersOf(Object.keys(parameters)))
  const declared: ObserverStatement<P, R> = { ...declare(name, parameters, columns, text), on: 'all users' }
  registeredObservers.set(name, declared)
  return declared
}

function declare<const P extends Shape, const R extends Columns>(
  name: string,
  parameters: P,
  columns: R,
  { text }: Fragment,
): Declared<P, R> {
  if (registered.has(name) || registeredObservers.has(name))
    throw new Error(`Two statements are named ${name}`)
  const oneLine = text.replaceAll(/\s+/g, ' ').trim()
  return {
    name,
    preparedAs: preparedName(name, oneLine),
    text: oneLine,
    parameters,
    columns,
    parameterList: Object.entries(parameters).map(([each, type]) => ({ name: each, type: baseType(type) })),
    columnList: listColumns(columns),
    readRow: rowReader(name, columns),
  }
}

/** A statement with its values, for `runAll`. */
export function call<P extends Shape, R extends Columns>(
  declared: Statement<P, R>,
  values: ValuesOf<P>,
): Call<R> {
  return { statement: declared, values: toValues(declared, values) }
}

/** @param names the keys of the shape whose placeholders are wanted, in order */
function placeholdersOf<Name extends PropertyKey>(names: readonly string[]): Placeholders<Name> {
  const placeholders = Object.fromEntries(names.map((each, index) => [each, placeholder(index + 1)]))
  // Object.fromEntries forgets the keys, and Object.keys their type; they are the names.
  return placeholders as Placeholders<Name>
}

function placeholder(position: number): Fragment {
  // A dollar sign and a number, nothing from outside.
  return { text: `$${position}` } as Fragment
}

/** The column names of a shape, as a select list, each with the given table alias. */
export function selectList(columns: Shape, alias: string): Fragment {
  // Names of this code base's own tables.
  return {
    text: Object.keys(columns)
      .map((name) => `${alias}.${name}`)
      .join(', '),
  } as Fragment
}

/**
 * Makes the function that reads rows. It is written out, as an object literal, so that V8 gives all rows of a statement one
 * hidden class: a loop over the columns was measured to take five times as long.
 */
export function rowReader<R extends Columns>(name: string, columns: R): RowReader<R> {
  const list = listColumns(columns)
  const parameters = list.flatMap((_, at) => [`key${at}`, `parse${at}`])
  const members = list.map(({ key, name: column }, at) => {
    const member = typeof key === 'symbol' ? `[key${at}]` : JSON.stringify(column)
    return `${member}: fields[${at}] === null ? null : parse${at}(fields[${at}])`
  })
  const check = `if (fields.length !== ${list.length}) throw new Error(${JSON.stringify(`${name} returns other columns than it declares`)})`
  // Only names and types that this code base declares are written into it.
  const make = new Function(
    ...parameters,
    `return (fields) => { ${check}\n return { ${members.join(', ')} } }`,
  )
  // A test compares the declared columns with the server's description of every statement.
  return make(...list.flatMap(({ key, type }) => [key, parsers[baseType(type)]])) as RowReader<R>
}

/** The columns in their order, which is that of JavaScript: symbols are last. */
function listColumns(columns: Columns): Declared<Shape, Columns>['columnList'] {
  return Reflect.ownKeys(columns).flatMap((key) => {
    const type = columns[key]
    return type === undefined ? [] : { key, name: typeof key === 'symbol' ? `${key.description}` : key, type }
  })
}

/** The PostgreSQL type without the mark for null. */
export function baseType(type: Shape[string]): PostgresType {
  // `?` only ever follows a PostgresType.
  return type.replace('?', '') as PostgresType
}

/** The values of a statement's parameters as PostgreSQL reads them, in order. */
export function toValues<P extends Shape>(
  declared: Declared<P, Shape>,
  values: ValuesOf<P>,
): (string | null)[] {
  const named: Readonly<Record<string, unknown>> = values
  return declared.parameterList.map(({ name, type }) => toText(type, named[name]))
}
