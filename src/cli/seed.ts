import { parseArgs } from 'node:util'
import { configuredSecrets } from '../auth/configured-secrets.ts'
import type { Config } from '../config.ts'
import type { Database } from '../db/database.ts'
import { OperatorError } from '../errors.ts'
import { createTasks } from '../tasks/commands.ts'
import { eraseData } from '../tasks/erase.ts'
import { readConfig, runCommand } from './command.ts'
import { openConfiguredDatabase } from './database.ts'
import { showProgress } from './progress.ts'
import { signToken } from './sign-token.ts'

const usage = `Usage: npm run seed -- [--users N] [--tasks M] [--reset]
  --users N   how many demo users, demo-1 to demo-N (1 to 100000; default 10)
  --tasks M   how many tasks in all, spread evenly over them (0 to 10000000; default 100)
  --reset     first delete all tasks of these demo users`

/** Tasks that one statement creates at most. */
const batchSize = 500

/** Users worked on at the same time. */
const concurrency = 4

const things = [
  'milk',
  'the report',
  'a birthday card',
  'the bicycle',
  'tickets',
  'the invoice',
  'tomatoes',
  'the slides',
]
const verbs = ['Buy', 'Finish', 'Send', 'Repair', 'Book', 'Check', 'Plant', 'Print']

type SeedOptions = { readonly users: number; readonly tasks: number; readonly reset: boolean }

/** `npm run seed`: fills the database with demo users and their tasks, and prints a token of each user. */
await runCommand(async (args) => {
  const options = readOptions(args)
  const config = readConfig()
  if (config.nodeEnv === 'production') {
    throw new OperatorError(
      'The seed makes demo users, whose tokens it prints; it does not run when NODE_ENV is production.',
    )
  }
  const startedAt = performance.now()
  const created = await seed(config, options)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  process.stderr.write(
    `Created ${created.toLocaleString('en')} tasks of ${options.users.toLocaleString('en')} users in ${seconds} s.\n`,
  )
  printTokens(config, options.users)
})

function readOptions(args: string[]): SeedOptions {
  try {
    const { values } = parseArgs({
      args,
      options: {
        users: { type: 'string' },
        tasks: { type: 'string' },
        reset: { type: 'boolean', default: false },
      },
    })
    const users = wholeNumber('--users', values.users ?? '10', 1, 100_000)
    return { users, tasks: wholeNumber('--tasks', values.tasks ?? '100', 0, 10_000_000), reset: values.reset }
  } catch (error) {
    throw new OperatorError(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
  }
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new OperatorError(`${name} must be a whole number from ${min} to ${max}.`)
  return value
}

async function seed(config: Config, { users, tasks, reset }: SeedOptions): Promise<number> {
  await using opened = await openConfiguredDatabase(config)
  const progress = showProgress('Seeding', Math.max(tasks, 1))
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort()
  process.once('SIGINT', interrupt)
  let next = 0
  let created = 0
  const worker = async () => {
    while (next < users && !interrupted.signal.aborted) {
      const index = next++
      const count = Math.floor(tasks / users) + (index < tasks % users ? 1 : 0)
      await seedUser(opened.database, demoUser(index), count, reset)
      created += count
      progress.update(created)
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, users) }, worker))
  } finally {
    progress.end()
    process.off('SIGINT', interrupt)
  }
  if (interrupted.signal.aborted) throw new OperatorError(`Interrupted; ${created} tasks were created.`)
  return created
}

async function seedUser(database: Database, userId: string, count: number, reset: boolean): Promise<void> {
  const scope = database.scopeFor(userId, 'service')
  if (reset) await eraseData(scope)
  for (let done = 0; done < count; done += batchSize) {
    const size = Math.min(batchSize, count - done)
    await createTasks(
      scope,
      Array.from({ length: size }, (_, index) => demoTask(done + index)),
    )
  }
}

function demoUser(index: number): string {
  return `demo-${index + 1}`
}

function demoTask(index: number) {
  const verb = verbs[index % verbs.length]
  const thing = things[Math.floor(index / verbs.length) % things.length]
  return {
    title: `${verb} ${thing}`,
    description: index % 3 === 0 ? `Number ${index + 1} of the demo tasks` : null,
    completed: index % 4 === 0,
  }
}

/** Without a secret there are no tokens to print, only the users: the issuer's tokens are for its own users. */
function printTokens(config: Config, users: number): void {
  const [secret] = configuredSecrets(config)
  for (let index = 0; index < users; index++) {
    const userId = demoUser(index)
    const token = secret === undefined ? '' : `\t${signToken({ secret, userId })}`
    process.stdout.write(`${userId}${token}\n`)
  }
}
