import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createVerifier } from '../src/auth/verifier.ts'
import { testSecret } from './support/app.ts'
import { createTestDatabase } from './support/database.ts'
import { addressOf, runScript, startService, temporaryFolder } from './support/process.ts'

// The commands of package.json, as processes. Their standard error is not a terminal here: progress must stay away.

const testDatabase = await createTestDatabase()
const environment = { DATABASE_URL: addressOf(testDatabase.connection), BETTER_AUTH_SECRET: testSecret }

test.after(() => testDatabase.drop())

async function userOf(token: string): Promise<string | undefined> {
  const verification = await createVerifier({ secrets: [testSecret], clockToleranceS: 0 }).verify(token)
  return verification.ok ? verification.userId : undefined
}

function countTasks(pattern: string) {
  return testDatabase.query<{ user_id: string; tasks: number }>(
    'select user_id, count(*)::int as tasks from app.tasks where user_id like $1 group by user_id order by user_id',
    [pattern],
  )
}

test('token prints a token that is valid for the user, and nothing else', async () => {
  const { code, stdout, stderr } = await runScript('src/cli/token.ts', ['ünï code/42'], environment)
  assert.equal(code, 0)
  assert.equal(stderr, '')
  assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  assert.equal(await userOf(stdout.trim()), 'ünï code/42')
})

test('token without a configured secret makes one for this machine, readable by its owner alone', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const { code } = await runScript('src/cli/token.ts', ['demo'], { DATA_DIR: dataDir })
  assert.equal(code, 0)
  assert.equal(statSync(join(dataDir, 'secret')).mode & 0o777, 0o600)
})

for (const args of [[], ['a', 'b'], [''], ['x'.repeat(256)]]) {
  test(`token with ${args.length} arguments of lengths ${args.map((each) => each.length)} is refused in one line`, async () => {
    const { code, stdout, stderr } = await runScript('src/cli/token.ts', args, environment)
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^[^\n]+\n$/)
  })
}

test('migrate brings an empty database up to date, says what it did, and does nothing the second time', async () => {
  const empty = await createTestDatabase({ empty: true })
  try {
    const own = { ...environment, DATABASE_URL: addressOf(empty.connection) }
    const first = await runScript('src/cli/migrate.ts', [], own)
    assert.equal(first.code, 0)
    assert.match(first.stdout, /^applied 0001-tasks\.sql\n/)
    const second = await runScript('src/cli/migrate.ts', [], own)
    assert.equal(second.code, 0)
    assert.doesNotMatch(second.stdout, /applied/)
    assert.deepEqual(await empty.query('select count(*)::int as n from app.tasks'), [{ n: 0 }])
  } finally {
    await empty.drop()
  }
})

test('migrate on a database that is away says so in one line', async () => {
  const away = { ...environment, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }
  const { code, stderr } = await runScript('src/cli/migrate.ts', [], away)
  assert.equal(code, 1)
  assert.match(stderr, /^The database cannot be reached: [^\n]+ Check DATABASE_URL\.\n$/)
})

test('seed spreads the tasks evenly over the users and prints a token for each', async () => {
  const { code, stdout, stderr } = await runScript(
    'src/cli/seed.ts',
    ['--users', '4', '--tasks', '1103'],
    environment,
  )
  assert.equal(code, 0)
  assert.match(stderr, /^Created 1,103 tasks of 4 users in [\d.]+ s\.\n$/, 'no progress in a pipe')
  const lines = stdout.trim().split('\n')
  assert.equal(lines.length, 4)
  for (const [index, line] of lines.entries()) {
    const [user, token] = line.split('\t')
    assert.equal(user, `demo-${index + 1}`)
    assert.equal(await userOf(token ?? ''), user)
  }
  assert.deepEqual(
    (await countTasks('demo-%')).map(({ tasks }) => tasks),
    [276, 276, 276, 275],
  )
})

test('seed --reset deletes what the demo users had, and nothing of anyone else', async () => {
  const own = await createTestDatabase()
  try {
    const address = { ...environment, DATABASE_URL: addressOf(own.connection) }
    await runScript('src/cli/seed.ts', ['--users', '2', '--tasks', '10'], address)
    await own.query(
      `insert into app.tasks (user_id, id, title, completed, created_at, updated_at, version)
       values ('somebody', gen_random_uuid(), 'mine', false, now(), now(), 1)`,
    )
    const { code } = await runScript('src/cli/seed.ts', ['--users', '2', '--tasks', '4', '--reset'], address)
    assert.equal(code, 0)
    assert.deepEqual(
      await own.query('select user_id, count(*)::int as n from app.tasks group by 1 order by 1'),
      [
        { user_id: 'demo-1', n: 2 },
        { user_id: 'demo-2', n: 2 },
        { user_id: 'somebody', n: 1 },
      ],
    )
    const versions = await own.query(
      `select c.user_id from app.change_counters c join app.tasks t using (user_id) group by c.user_id, c.version having max(t.version) <> c.version`,
    )
    assert.deepEqual(versions, [], 'the counter is the version of the last task')
  } finally {
    await own.drop()
  }
})

for (const [args, problem] of [
  [['--users', '0'], /--users must be a whole number from 1 to 100000\./],
  [['--users', 'ten'], /--users must be a whole number/],
  [['--tasks', '-1'], /--tasks/],
  [['--tasks', '1e3'], /--tasks must be a whole number/],
  [['--task', '1'], /--task/],
  [['10'], /10/],
] as const) {
  test(`seed ${args.join(' ')} is refused with the usage, and writes nothing`, async () => {
    const { code, stdout, stderr } = await runScript('src/cli/seed.ts', [...args], environment)
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, problem)
    assert.match(stderr, /Usage: npm run seed/)
  })
}

test('seed refuses to run in production', async () => {
  const { code, stderr } = await runScript('src/cli/seed.ts', [], { ...environment, NODE_ENV: 'production' })
  assert.equal(code, 1)
  assert.match(stderr, /does not run when NODE_ENV is production/)
})

test('seed beside a running service shares its embedded database and leaves it running', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const service = await startService({ DATA_DIR: dataDir })
  const seeded = await runScript('src/cli/seed.ts', ['--users', '1', '--tasks', '3'], { DATA_DIR: dataDir })
  assert.equal(seeded.code, 0, seeded.stderr)
  const token = seeded.stdout.trim().split('\t')[1]
  const answer = await fetch(`${service.url}/api/demo-1/tasks`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.equal(answer.status, 200)
  const { data } = (await answer.json()) as { data: unknown[] }
  assert.equal(data.length, 3)
  assert.equal((await service.end('SIGTERM')).code, 0)
})
