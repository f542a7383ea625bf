import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { openDatabase } from '../../src/db/database.ts'
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts'
import { administer, type Cluster, clusterVariable } from './database.ts'
import { partitionByUser, partitionCount } from './partitioned.ts'
import { pgBouncerVersion, startPgBouncer } from './pgbouncer.ts'

// Runs the suite: `npm test`, `npm test -- FILE …`, `npm run coverage`. One PostgreSQL for the whole run: an embedded
// one without durability, or the one of DATABASE_URL. With --pgbouncer the services of the tests reach it through a
// PgBouncer in transaction mode. With --partitioned the tables of users' data have partitions. `npm run check` has both in one
// run besides the suite without either: what a pooler and what partitions break is told apart by running one of them.

const minimumLineCoverage = 95

/** What runs through a pooler, unless files are named: all that reaches the database by way of a service. */
const throughServices = ['test/{api,idempotency,sync,tasks}/**/*.test.ts', 'test/isolation.test.ts']

/** What runs on partitions, unless files are named: all that reads or writes users' data. */
const onUsersData = [
  ...throughServices,
  'test/db/{walls,statements,scope,concurrency,trash-races,transactions,round-trips,changed-counters}.test.ts',
  'test/{fuzz,retention,cli}.test.ts',
  'test/accounts/erasure.test.ts',
]

const partitioned = process.argv.includes('--partitioned')
const wantsPooler = process.argv.includes('--pgbouncer')
const poolerVersion = wantsPooler ? pgBouncerVersion() : undefined
const throughPooler = poolerVersion !== undefined
if (wantsPooler && !throughPooler) {
  process.stdout.write(
    'There is no PgBouncer on this machine (Debian: apt-get install pgbouncer): left out.\n',
  )
  if (!partitioned) process.exit(0)
}
const server = await openServer()
let exitCode = 1
try {
  const cluster = await makeTemplate(server.connection)
  const pooler = throughPooler ? await startPgBouncer(cluster.connection) : undefined
  if (pooler) process.stdout.write(`Through PgBouncer ${poolerVersion} in transaction mode.\n`)
  try {
    exitCode = await runTests({ ...cluster, ...(pooler && { pooled: pooler.connection }) })
  } finally {
    await pooler?.stop()
    await administer(cluster.connection, `drop database if exists ${cluster.template} with (force)`)
  }
} finally {
  await server.stop()
}
process.exit(exitCode)

async function openServer(): Promise<{ connection: pg.ClientConfig; stop: () => Promise<void> }> {
  const url = process.env.DATABASE_URL
  if (url) return { connection: { connectionString: url }, stop: async () => {} }
  const dataDir = mkdtempSync(join(tmpdir(), 'backend-core-test-'))
  // As root, the embedded server's user must be able to pass through, or its data would go elsewhere.
  chmodSync(dataDir, 0o711)
  const embedded = await startEmbeddedPostgres({
    dataDir,
    durable: false,
    settings: { max_connections: '400' },
  })
  const stop = async () => {
    await embedded.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
  return { connection: embedded.connection, stop }
}

/** The connection as separate parts, so that a test can put another database's name in it. */
async function makeTemplate(connection: pg.ClientConfig): Promise<Cluster> {
  const { host, port, user, password, ssl } = new pg.Client(connection)
  const parts = { host, port, ...(user && { user }), ...(password && { password }), ...(ssl && { ssl }) }
  const template = `template_${randomBytes(8).toString('hex')}`
  const { database: own } = new pg.Client(connection)
  const administration = { ...parts, ...(own && { database: own }) }
  await administer(administration, `create database ${template} template template0`)
  const database = openDatabase({ connection: { ...parts, database: template }, poolMax: 1 })
  try {
    await database.prepare()
  } finally {
    await database.close()
  }
  if (partitioned) {
    await administer({ ...parts, database: template }, await partitionByUser())
    process.stdout.write(`Every table of users' data has ${partitionCount} partitions.\n`)
  }
  return { connection: administration, template }
}

function runTests(cluster: Cluster): Promise<number> {
  const names = process.argv.slice(2).filter((name) => name !== '--pgbouncer' && name !== '--partitioned')
  const coverage = names.includes('--coverage')
  const files = names.filter((name) => !name.startsWith('--'))
  // Much of the suite waits for processes and the database: one file more than there are cores.
  const concurrency = `--test-concurrency=${availableParallelism() + 1}`
  const options = [
    // Each file has a process of its own, which loads much the same.
    ...['-r', fileURLToPath(new URL('../../preload.cjs', import.meta.url))],
    '--test',
    concurrency,
    ...names.filter((name) => name.startsWith('--') && name !== '--coverage'),
  ]
  if (coverage) {
    options.push(
      '--experimental-test-coverage',
      '--test-coverage-include=src/**/*.ts',
      `--test-coverage-lines=${minimumLineCoverage}`,
    )
  }
  const chosen = files.length > 0 ? files : globSync(defaultFiles())
  const { DATABASE_URL: _, NODE_TEST_CONTEXT: __, ...environment } = process.env
  const child = spawn(process.execPath, [...options, ...chosen], {
    stdio: 'inherit',
    env: { ...environment, [clusterVariable]: JSON.stringify(cluster) },
  })
  return new Promise((resolve) => {
    child.on('exit', (code) => resolve(code ?? 1))
    // The runner ends by itself on Ctrl-C; this waits for it, so that the cluster is stopped too.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  })
}

function defaultFiles(): readonly string[] {
  if (throughPooler) return throughServices
  return partitioned ? onUsersData : ['test/**/*.test.ts']
}
