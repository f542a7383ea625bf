import { parseArgs } from 'node:util'
import pg from 'pg'
import { openDatabase } from '../src/db/database.ts'
import { readList } from '../src/tasks/list-parameters.ts'
import { listTasks, type Place } from '../src/tasks/list-store.ts'
import type { Task } from '../src/tasks/task.ts'

// How long a page of a list takes, the first and the thousandth, for a user with 100,000 tasks among 1,000,000:
// DATABASE_URL=… node bench/lists.ts, on an empty database that the service may migrate and a superuser's address.
// Each figure is the median of several rounds, the two pages taking turns.

const rounds = 21
const limit = 100
const userId = 'user-0'

const { values: options } = parseArgs({ options: { tasks: { type: 'string', default: '1000000' } } })
const connectionString = process.env.DATABASE_URL
if (connectionString === undefined) throw new Error('Set DATABASE_URL to that of an empty database')
const connection = { connectionString }
const database = openDatabase({ connection, poolMax: 1 })
await database.prepare()
await fill(Number(options.tasks))
const scope = database.scopeFor(userId)

const sorts = ['created_at', '-created_at', 'updated_at', '-updated_at', 'title', '-title'] as const
const [early, late] = ['2020-01-01T00:00:00Z', '2030-01-01T00:00:00Z']
const created = { created_after: early, created_before: late }
const updated = { updated_after: early, updated_before: late }
const filters = {
  none: {},
  'completed=false': { completed: false },
  'completed=true': { completed: true },
  'q (all match)': { q: 'TASK' },
  'q (1 in 9)': { q: 'AB' },
  'created range': created,
  'updated range': updated,
  all: { completed: false, q: 'TASK', ...created, ...updated },
} as const

print(['filter', 'sort', 'first ms', 'last ms', 'page', 'ratio'])
for (const [name, filter] of Object.entries(filters)) {
  for (const sort of sorts) {
    const list = readList({ ...filter, sort })
    const read = (after: Place | undefined, known: number[] | null = []) =>
      listTasks(scope, list, { after, limit: limit + 1, known, count: false })
    let [after, pages]: [Place | undefined, number] = [undefined, 1]
    for (;;) {
      const last: Task | undefined = (await read(after)).tasks[limit - 1]
      const next: Place | undefined = last && { value: last[list.sort], id: last.id }
      // Short of the end, so that both pages are full.
      if (next === undefined || (await read(next)).tasks.length < limit) break
      after = next
      pages++
    }
    const [first, last] = await compare(
      () => read(undefined),
      () => read(after),
    )
    print([name, sort, first.toFixed(2), last.toFixed(2), String(pages), (last / first).toFixed(2)])
  }
}

print(['total of', '', 'ms'])
for (const [name, filter] of Object.entries(filters)) {
  const count = (known: number[] | null) =>
    listTasks(scope, readList(filter), { after: undefined, limit: 1, known, count: true })
  const [total] = await compare(
    () => count([]),
    () => count(null),
  )
  print([name, '', total.toFixed(2)])
}
const known = await compare(
  () => listTasks(scope, readList({}), { after: undefined, limit: limit + 1, known: null, count: false }),
  () => listTasks(scope, readList({}), { after: undefined, limit: limit + 1, known: null, count: true }),
)
print(['304, and with a total', '', ...known.map((each) => each.toFixed(2))])
await database.close()

/** The median time of each, in ms. */
async function compare(...work: readonly (() => Promise<unknown>)[]): Promise<[number, number]> {
  const times: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    for (const [index, each] of work.entries()) {
      const start = performance.now()
      await each()
      times[index]?.push(performance.now() - start)
    }
  }
  const median = (all: number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0
  return [median(times[0]), median(times[1])]
}

/** A tenth of the tasks are one user's, the others of users with a hundred each, all of them mixed. */
async function fill(count: number): Promise<void> {
  const client = new pg.Client(connection)
  await client.connect()
  const { rows } = await client.query('select from app.tasks limit 1')
  if (rows.length === 0) {
    await client.query(
      `insert into app.tasks (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
      select 'user-' || case when i <= $1 / 10 then 0 else 1 + i % greatest($1 / 111, 1) end, gen_random_uuid(),
        'Task ' || md5(i::text), repeat('words ', 20), i % 2 = 0, case when i % 2 = 0 then created end,
        created, created + random() * interval '30 days', i
      from generate_series(1, $1::int) i,
        lateral (select timestamptz '2026-01-01' + i::bigint * 7919 % $1 * interval '20 s') at (created)
      order by random()`,
      [count],
    )
    await client.query(
      'insert into app.change_counters (user_id, version) select user_id, max(version) from app.tasks group by user_id',
    )
    await client.query('vacuum analyze app.tasks')
  }
  await client.end()
}

function print(cells: readonly string[]): void {
  process.stdout.write(
    `${cells.map((cell, at) => (at < 2 ? cell.padEnd(18) : cell.padStart(9))).join(' ')}\n`,
  )
}
