import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import pg from 'pg'
import {
  type ObserverStatement,
  observerStatements,
  type Shape,
  type Statement,
  sql,
  statement,
  statements,
} from '../../src/db/sql.ts'
import { toRfc3339 } from '../../src/db/types.ts'
// Registers every statement of the service.
import '../../src/app.ts'
import '../../src/tasks/sweep.ts'
import { createTestDatabase } from '../support/database.ts'

const testDatabase = await createTestDatabase()
const client = new pg.Client(testDatabase.connection)
await client.connect()
after(async () => {
  await client.end()
  await testDatabase.drop()
})

const declared = [...statements.values()]

type Field = {
  readonly name: string
  readonly dataTypeID: number
  readonly tableID: number
  readonly columnID: number
}

/** The parts of pg's wire connection that a Describe uses; its type definitions leave them out. */
type Wire = pg.Connection & {
  parse(query: { name: string; text: string; types: number[] }): void
  describe(target: { type: 'S'; name: string }): void
  sync(): void
}

/** Prepares a statement as the scope does, without parameter types, and asks what it returns; it is not run. */
class Describe implements pg.Submittable {
  readonly result: Promise<Field[]>
  readonly name: string
  readonly text: string
  #fields: Field[] = []
  readonly #settle: { resolve: (fields: Field[]) => void; reject: (error: unknown) => void }

  constructor({ name, text }: Statement | ObserverStatement) {
    this.name = name
    this.text = text
    const { promise, resolve, reject } = Promise.withResolvers<Field[]>()
    this.result = promise
    this.#settle = { resolve, reject }
  }

  submit(connection: pg.Connection): void {
    const wire = connection as Wire
    wire.parse({ name: this.name, text: this.text, types: [] })
    wire.describe({ type: 'S', name: this.name })
    wire.sync()
  }

  handleRowDescription({ fields }: { fields: Field[] }): void {
    this.#fields = fields
  }

  handleReadyForQuery(): void {
    this.#settle.resolve(this.#fields)
  }

  handleError(error: unknown): void {
    this.#settle.reject(error)
  }
}

/** What the server says about a statement, in the form in which it is declared: without nullability. */
async function describeStatement(
  each: Statement | ObserverStatement,
): Promise<{ parameters: string[]; columns: string[][] }> {
  const described = new Describe(each)
  client.query(described)
  const fields = await described.result
  const { rows } = await client.query<{ parameters: string[]; types: string[] }>(
    `select array(select t.typname::text from unnest(s.parameter_types) with ordinality p (oid, position)
        join pg_type t on t.oid = p.oid order by position) as parameters,
      array(select t.typname::text from unnest($2::oid[]) with ordinality c (oid, position)
        join pg_type t on t.oid = c.oid order by position) as types
    from pg_prepared_statements s where s.name = $1`,
    [each.name, fields.map(({ dataTypeID }) => dataTypeID)],
  )
  const [row] = rows
  assert.ok(row, `${each.name} is prepared`)
  return { parameters: row.parameters, columns: fields.map(({ name }, at) => [name, String(row.types[at])]) }
}

function declarationOf({ on, parameters, columnList }: Statement | ObserverStatement): {
  parameters: string[]
  columns: string[][]
} {
  const withoutNull = (type: string) => type.replace('?', '')
  return {
    parameters: [...(on === 'user' ? ['text'] : []), ...Object.values(parameters).map(withoutNull)],
    columns: columnList.map(({ name, type }) => [name, withoutNull(type)]),
  }
}

/** Which columns that come straight from a table may be null, there or for the join. */
async function nullability(each: Statement): Promise<Map<string, boolean>> {
  const described = new Describe({ ...each, name: '' })
  client.query(described)
  const found = new Map<string, boolean>()
  // The join of a page of a list: where it is empty, there is none.
  const joined = /left join lateral \( select .*? from (app\.\w+)/.exec(each.text)?.[1] ?? ''
  for (const { name, tableID, columnID } of await described.result) {
    if (tableID === 0) continue
    const { rows } = await client.query<{ nullable: boolean }>(
      'select not attnotnull or attrelid::regclass::text = $3 as nullable from pg_attribute where attrelid = $1 and attnum = $2',
      [tableID, columnID, joined],
    )
    found.set(name, rows[0]?.nullable ?? true)
  }
  return found
}

test('there are statements to check', () => {
  assert.ok(declared.length >= 10, `${declared.length} statements`)
})

for (const each of declared) {
  test(`${each.name}: the server's parameter types and result columns are the declared ones`, async () => {
    assert.deepEqual(await describeStatement(each), declarationOf(each))
  })

  test(`${each.name}: columns that a table allows to be null, and no others, are declared so`, async () => {
    for (const [name, nullable] of await nullability(each)) {
      const declared = each.columnList.find((column) => column.name === name)
      assert.equal(declared?.type.endsWith('?'), nullable, name)
    }
  })

  test(`${each.name}: every table in it is filtered, and every row inserted, by user_id as $1`, () => {
    assert.deepEqual(unfiltered(each.text), [])
  })
}

for (const each of observerStatements.values()) {
  test(`${each.name}, across users: types and columns are the declared ones, and it only reads`, async () => {
    assert.deepEqual(await describeStatement(each), declarationOf(each))
    assert.match(each.text, /^(select|with)\b/)
    assert.doesNotMatch(each.text, /\b(insert|update|delete|merge)\b/)
  })
}

test('the columns of a task are seen to come from the table, so their nullability is checked', async () => {
  const get = statements.get('get_task')
  assert.ok(get)
  assert.deepEqual([...(await nullability(get)).keys()], Object.keys(get.columns))
})

test('a declaration with another type, name or order than the server has is detected', async () => {
  const returning = (name: string, columns: Shape) =>
    statement(name, { id: 'uuid' }, columns, ({ user_id, id }) => {
      return sql`select t.title, t.version from app.tasks t where t.user_id = ${user_id} and t.id = ${id}`
    })
  const good = returning('good', { title: 'text', version: 'int8' })
  assert.deepEqual(await describeStatement(good), declarationOf(good))
  for (const [name, columns] of Object.entries({
    'bad type': { title: 'text', version: 'int4' },
    'bad name': { title: 'text', versions: 'int8' },
    'bad order': { version: 'int8', title: 'text' },
    'one too few': { title: 'text' },
  } as const)) {
    const bad = returning(name, columns)
    assert.notDeepEqual(await describeStatement(bad), declarationOf(bad), name)
  }
  const wrongParameter = statement('bad parameter', { id: 'text' }, {}, ({ user_id, id }) => {
    return sql`select from app.tasks t where t.user_id = ${user_id} and t.id = ${id}`
  })
  assert.notDeepEqual(await describeStatement(wrongParameter), declarationOf(wrongParameter))
})

test('a second statement of the same name is refused', () => {
  assert.throws(() => statement('get_task', {}, {}, () => sql`select`), /Two statements are named get_task/)
})

/** Uses of a table of users' rows that user_id does not bound, each within its own part of a WITH. */
function unfiltered(text: string): string[] {
  return text.split(/\), \w+ as \(/).flatMap((part) => {
    const uses = [
      ...part.matchAll(
        /\b(into|from|join|update|using) app\.(\w+)(?: (?:as )?(?!set\b|where\b|on\b)(\w+))?/g,
      ),
    ]
    assert.equal(
      uses.length,
      part.match(/(?<!collate )\bapp\./g)?.length ?? 0,
      'every use of a table is recognised',
    )
    return uses.flatMap(([use, verb, , alias]) => {
      const own = alias === undefined ? '(?<![\\w.])' : `\\b${alias}\\.`
      const filter = new RegExp(`${own}user_id = \\$1(?!\\d)`)
      const insert = new RegExp(`${use} ?\\(user_id,[^)]*\\) (values \\(|select )\\$1(?!\\d)`)
      return (verb === 'into' ? insert : filter).test(part) ? [] : [use]
    })
  })
}

test('a table that user_id does not bound is detected', () => {
  const texts = [
    'select from app.tasks t where t.id = $2',
    'select from app.tasks t where t.user_id = $12',
    'select from app.tasks t join app.change_counters c on c.user_id = t.user_id where c.user_id = $1',
    'update app.tasks set title = $2 where id = $3',
    'insert into app.tasks (user_id, id) values ($2, $1)',
    'with a as (select from app.tasks t where t.user_id = $1), b as (delete from app.tasks t) select from a',
  ]
  for (const text of texts) assert.notDeepEqual(unfiltered(text), [], text)
})

test('the text of a timestamp at every millisecond of a second becomes what a Date makes of it', async () => {
  const start = Date.parse('2026-11-23T02:08:44.000Z')
  const times = Array.from({ length: 1_000 }, (_, millisecond) => start + millisecond)
  await assertRead('UTC', times)
  assert.equal(toRfc3339('2026-11-23 02:08:44+00'), '2026-11-23T02:08:44.000Z')
  assert.equal(toRfc3339('2026-11-23 02:08:44.4+00'), '2026-11-23T02:08:44.400Z')
  assert.equal(toRfc3339('2026-11-23 02:08:44.46+00'), '2026-11-23T02:08:44.460Z')
  assert.equal(toRfc3339('2026-11-23 02:08:44.006+00'), '2026-11-23T02:08:44.006Z')
})

test('the text of a timestamp in any time zone becomes the same time in UTC', async () => {
  for (const zone of ['UTC', 'Europe/London', 'Asia/Kolkata', 'America/St_Johns', 'Pacific/Kiritimati']) {
    const times = fc.date({ min: new Date('1970-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    await assertRead(
      zone,
      fc.sample(times, 500).map((time) => time.getTime()),
    )
  }
})

test('the text of a timestamp with microseconds is cut to milliseconds', () => {
  assert.equal(toRfc3339('2026-11-23 02:08:44.467999+00'), '2026-11-23T02:08:44.467Z')
  assert.equal(toRfc3339('2026-11-23 04:08:44.467999+02'), '2026-11-23T02:08:44.467Z')
})

test('the text that PostgreSQL writes in UTC becomes what a Date makes of it, for any time', () => {
  const times = fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
  fc.assert(
    fc.property(times, (time) => {
      const iso = time.toISOString()
      const written = `${iso.slice(0, 10)} ${iso.slice(11, 23).replace(/\.?0*$/, '')}+00`
      assert.equal(toRfc3339(written), iso)
    }),
  )
})

/** Has the server write times, given in milliseconds since 1970, in a time zone, and reads its text. */
async function assertRead(zone: string, times: readonly number[]): Promise<void> {
  await client.query(`select set_config('TimeZone', $1, false)`, [zone])
  const { rows } = await client.query<{ text: string }>(
    `select (timestamptz 'epoch' + t * interval '1 ms')::timestamptz(3)::text as text
    from unnest($1::int8[]) with ordinality as u (t, position) order by position`,
    [times],
  )
  const read = rows.map(({ text }) => toRfc3339(text))
  assert.deepEqual(
    read,
    times.map((time) => new Date(time).toISOString()),
  )
}
