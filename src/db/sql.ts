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

/** Columns or parameters, in order: name → PostgreSQL type, with `?` where it may be null. */
export type Shape = Readonly<Record<string, PostgresType | `${PostgresType}?`>>

type ValueOf<T> = T extends `${infer U extends PostgresType}?`
  ? ReturnType<Parsers[U]> | null
  : T extends PostgresType
    ? ReturnType<Parsers[T]>
    : never

/** The static type of a row of these columns, or of the values of these parameters. */
export type ValuesOf<S extends Shape> = { readonly [K in keyof S]: ValueOf<S[K]> }

/**
 * A statement on the data of one user, prepared once a connection under its name. Its first parameter, `user_id`,
 * is not among `parameters`: the scope that runs it supplies it.
 */
export type Statement<P extends Shape = Shape, R extends Shape = Shape> = {
  readonly name: string
  readonly text: string
  readonly parameters: P
  readonly columns: R
  /** The same two, as lists in order, worked out once. */
  readonly parameterList: readonly { readonly name: string; readonly type: PostgresType }[]
  readonly columnList: readonly Column[]
}

type Column = { readonly name: string; readonly parse: (text: string) => unknown }

type Placeholders<P extends Shape> = { readonly [K in keyof P | 'user_id']: Fragment }

const registered = new Map<string, Statement>()

/** Every statement that the service can send, by name: the tests prepare and explain each of them. */
export const statements: ReadonlyMap<string, Statement> = registered

/**
 * Declares a statement.
 *
 * @param name its unique name, also on the server
 * @param parameters name → type of each parameter after user_id, in order
 * @param columns name → type of each column that it returns, in the order of its select list
 * @param write writes the text, given a placeholder for each parameter and for `user_id`
 */
export function statement<const P extends Shape, const R extends Shape>(
  name: string,
  parameters: P,
  columns: R,
  write: (placeholders: Placeholders<P>) => Fragment,
): Statement<P, R> {
  if (registered.has(name)) throw new Error(`Two statements are named ${name}`)
  const names = ['user_id', ...Object.keys(parameters)]
  const placeholders = Object.fromEntries(names.map((each, index) => [each, placeholder(index + 1)]))
  // Object.fromEntries forgets the keys; they are those of P and user_id.
  const { text } = write(placeholders as Placeholders<P>)
  const declared = {
    name,
    text: text.replaceAll(/\s+/g, ' ').trim(),
    parameters,
    columns,
    parameterList: Object.entries(parameters).map(([each, type]) => ({ name: each, type: baseType(type) })),
    columnList: Object.entries(columns).map(([each, type]) => ({
      name: each,
      parse: parsers[baseType(type)],
    })),
  }
  registered.set(name, declared)
  return declared
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

/** Turns the text of each field of a row, in the order of the declared columns, into values. */
export function parseRow<R extends Shape>(
  { columnList, name }: Statement<Shape, R>,
  fields: readonly (string | null)[],
): ValuesOf<R> {
  if (fields.length !== columnList.length) throw new Error(`${name} returns other columns than it declares`)
  const row: Record<string, unknown> = {}
  for (const [index, column] of columnList.entries()) {
    const field = fields[index] ?? null
    row[column.name] = field === null ? null : column.parse(field)
  }
  // A test compares the declared columns with the server's description of every statement.
  return row as ValuesOf<R>
}

/** The PostgreSQL type without the mark for null. */
export function baseType(type: Shape[string]): PostgresType {
  // `?` only ever follows a PostgresType.
  return type.replace('?', '') as PostgresType
}

/** The values of a statement's parameters as PostgreSQL reads them, in order. */
export function toValues<P extends Shape>(declared: Statement<P>, values: ValuesOf<P>): (string | null)[] {
  const named: Readonly<Record<string, unknown>> = values
  return declared.parameterList.map(({ name, type }) => toText(type, named[name]))
}
