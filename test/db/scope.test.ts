import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { Exchange } from '../../src/db/exchange.ts'
import { appRole, enterScope } from '../../src/db/scope.ts'
import { rowReader, type Shape, type Statement } from '../../src/db/sql.ts'
import { reading } from '../../src/db/transaction.ts'
import { newUser } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'

const testDatabase = await createTestDatabase()
after(() => testDatabase.drop())

/** A connection as the service's pool makes it. */
async function connect(t: TestContext): Promise<pg.Client> {
  const client = new pg.Client(testDatabase.connection)
  await client.connect()
  t.after(() => client.end())
  // The name is known on a connection from the first scope on.
  await client.query(`select set_config('app.user_id', '', true)`)
  return client
}

/** Sends a statement that the service does not have, as it sends its own: $1 is the user. */
async function send(client: pg.Client, user: string, text: string, columns: Shape = {}, timeoutMs = 5_000) {
  const name = `s${randomUUID()}`
  const statement: Statement = {
    ...{
      name,
      preparedAs: name,
      text,
      parameters: {},
      columns,
      parameterList: [],
      columnList: [],
      readRow: rowReader(name, columns),
      on: 'user',
      writes: false,
    },
  }
  const { step, rows } = reading({ statement, values: [] }, user)
  const exchange = new Exchange([enterScope(user, timeoutMs), step])
  client.query(exchange)
  await exchange.result
  return rows
}

/** A user with a counter, which tells whose rows a statement sees. */
async function makeUser(): Promise<string> {
  const user = newUser()
  await testDatabase.query('insert into app.change_counters (user_id, version) values ($1, 0)', [user])
  return user
}

const everyUser = `select user_id from app.change_counters where $1 <> ''`
const userColumn = { user_id: 'text' } as const

describe('a scope on its connection', () => {
  test('a statement runs as the role and the user, in UTC, under the time-out', async (t) => {
    const client = await connect(t)
    await client.query(`set timezone = 'Asia/Tokyo'`)
    const text = `select current_user::text, current_setting('app.user_id'), $1, current_setting('TimeZone'),
      current_setting('statement_timeout')`
    const columns = { role: 'text', user: 'text', parameter: 'text', zone: 'text', timeout: 'text' } as const
    const user = `it's a "user"\\`
    assert.deepEqual(await send(client, user, text, columns, 1_234), [
      { role: appRole, user, parameter: user, zone: 'UTC', timeout: '1234ms' },
    ])
  })

  for (const [outcome, text, code, timeoutMs] of [
    ['succeeds', everyUser],
    ['writes', 'update app.change_counters set version = version + 1 where user_id = $1'],
    ['breaks a constraint', 'insert into app.change_counters values ($1, 1)', '23505'],
    ['is stopped by the wall', `insert into app.change_counters values ($1 || 'x', 1)`, '42501'],
    ['cannot be parsed', 'select $1 from app.missing', '42P01'],
    ['gets a value that cannot be read', `select from app.tasks where id = ('x' || $1)::uuid`, '22P02'],
    ['runs into the time-out', `select pg_sleep(60) where $1 <> ''`, '57014', 20],
  ] as const) {
    test(`nothing is left on the connection when a statement ${outcome}`, async (t) => {
      const client = await connect(t)
      await client.query(`set timezone = 'Asia/Tokyo'; set statement_timeout = 54321`)
      const left = () =>
        client.query(`select pg_backend_pid(), session_user, current_user, current_setting('app.user_id') as user_id,
          current_setting('TimeZone') as zone, current_setting('statement_timeout') as timeout,
          now() = statement_timestamp() as outside_a_transaction,
          (select count(*) from pg_locks where pid = pg_backend_pid() and mode like 'Row%') as locks`)
      const before = (await left()).rows
      const [user, other] = [await makeUser(), await makeUser()]
      const sent = send(client, user, text, code === undefined ? userColumn : {}, timeoutMs)
      if (code === undefined) await sent
      else await assert.rejects(sent, { code })
      assert.deepEqual((await left()).rows, before)
      assert.deepEqual(await send(client, other, everyUser, userColumn), [{ user_id: other }])
    })
  }

  test('a row that cannot be read fails its statement, and the connection goes on', async (t) => {
    const client = await connect(t)
    const user = await makeUser()
    await assert.rejects(
      send(client, user, 'select $1, 1', userColumn),
      /returns other columns than it declares/,
    )
    assert.deepEqual(await send(client, user, everyUser, userColumn), [{ user_id: user }])
  })

  test('what a statement sets for the whole session does not reach the next scope', async (t) => {
    const client = await connect(t)
    const [user, other] = [await makeUser(), await makeUser()]
    const text = `select set_config('app.user_id', '${other}', false), set_config('role', 'none', false),
      set_config('TimeZone', 'Asia/Tokyo', false) where $1 <> ''`
    await send(client, user, text, { user: 'text', role: 'text', zone: 'text' })
    assert.deepEqual(await send(client, user, everyUser, userColumn), [{ user_id: user }])
    const zone = await send(client, user, `select current_setting('TimeZone') where $1 <> ''`, {
      zone: 'text',
    })
    assert.deepEqual(zone, [{ zone: 'UTC' }])
  })

  test('a second statement in the same message is refused, so none can leave the role or change the user', async (t) => {
    const client = await connect(t)
    for (const first of ['reset role', `set app.user_id = 'a'`, 'commit', 'reset session authorization']) {
      await assert.rejects(send(client, newUser(), `${first}; ${everyUser}`), { code: '42601' }, first)
    }
  })

  test('a statement that changes the role or row-level security while it runs sees its own rows still', async (t) => {
    const client = await connect(t)
    const [user] = [await makeUser(), await makeUser()]
    for (const [name, value] of Object.entries({ role: 'none', row_security: 'off' })) {
      const text = `with changed as materialized (select set_config('${name}', '${value}', true))
        select c.user_id from changed, app.change_counters c where $1 <> ''`
      assert.deepEqual(await send(client, user, text, userColumn), [{ user_id: user }], name)
    }
  })
})

describe('SQL without a scope', () => {
  const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
  const preamble = `
    import type { Observer, UserScope } from '#src/db/database.ts'
    import { type Fragment, observerStatement, sql, statement } from '#src/db/sql.ts'
    import { findTask, insertTask } from '#src/tasks/store.ts'
    declare const scope: UserScope
    declare const observer: Observer
    declare const input: string
    export const across = observerStatement('across', {}, { user_id: 'text' }, () =>
      sql\`select user_id from app.change_counters\`)
    export const find = statement('find', { id: 'uuid' }, { title: 'text?' }, ({ user_id, id }) =>
      sql\`select title from app.tasks where user_id = \${user_id} and id = \${id}\`)\n`
  const scoped = `
    export const fragment: Fragment = sql\`and \${sql\`true\`}\`
    await observer.run(across, {})
    export const [row] = await scope.run(find, { id: input })
    export const title: string | null | undefined = row?.title
    await findTask(scope, input)
    await insertTask(scope, { id: input, title: input, description: null, completed: false })\n`
  const unscoped = `
    export const forged: UserScope = { userId: 'a', run: async () => [] } // TS2739
    export const fragment: Fragment = { text: input } // TS2741
    await findTask({ userId: 'a', run: scope.run }, input) // TS2739
    await findTask(undefined, input) // TS2345
    await insertTask({ id: input, title: input, description: null, completed: false }) // TS2554
    await scope.run('select 1', {}) // TS2345
    await scope.run(across, {}) // TS2345
    await observer.run(find, { id: input }) // TS2345
    await scope.runAll([{ statement: across, values: [] }]) // TS2322
    sql\`select title from app.tasks where id = \${input}\` // TS2345
    sql(input) // TS2345
    statement('a', {}, {}, () => input) // TS2322
    statement('b', {}, {}, ({ id }) => id) // TS2339
    statement('c', { id: 'string' }, {}, ({ id }) => id) // TS2322
    await scope.run(find, { id: 7 }) // TS2322
    await scope.run(find, { task_id: input }) // TS2353
    await scope.run(find, { id: input, user_id: 'a' }) // TS2353
    await scope.run(find, {}) // TS2741
    export const title: string = (await scope.run(find, { id: input }))[0]?.title // TS2322
    export const other = (await scope.run(find, { id: input }))[0]?.user_id // TS2339\n`

  test('does not compile, nor does input as SQL or a wrong parameter, while the same within one does', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'unscoped-'))
    t.after(() => rm(folder, { recursive: true }))
    const compilerOptions = {
      typeRoots: [source('node_modules/@types')],
      paths: { '#src/*': [source('src/*')] },
      noUnusedLocals: false,
    }
    const config = { extends: source('tsconfig.json'), compilerOptions, include: ['*.ts'] }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
    await writeFile(join(folder, 'package.json'), '{"type":"module"}')
    await writeFile(join(folder, 'scoped.ts'), preamble + scoped)
    await writeFile(join(folder, 'unscoped.ts'), preamble + unscoped)
    const compiler = [source('node_modules/typescript/bin/tsc'), '-p', folder, '--pretty', 'false']
    const { stdout } = await promisify(execFile)(process.execPath, compiler).catch(
      (error: { stdout: string }) => error,
    )
    const errors = stdout.matchAll(/^(?:.*\/)?([\w.-]+)\((\d+),\d+\): error (TS\d+)/gm)
    const found = Array.from(errors, ([, file, line, code]) => `${file} ${line} ${code}`)
    const expected = (preamble + unscoped).split('\n').flatMap((line, at) => {
      const code = /\/\/ (TS\d+)$/.exec(line)?.[1]
      return code === undefined ? [] : [`unscoped.ts ${at + 1} ${code}`]
    })
    assert.deepEqual(found, expected, stdout)
  })
})
