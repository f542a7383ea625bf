import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { sweep } from '../../src/tasks/sweep.ts'
import { newUser, type TestService } from '../support/app.ts'
import { Account } from './account.ts'
import { batch, transfer, walk } from './bulk-operations.ts'
import { exchange, type Reply, type Request } from './exchange.ts'
import type { Journal } from './journal.ts'
import { Random } from './random.ts'
import { Replica } from './replica.ts'
import { checkAtRest } from './rest.ts'
import {
  create,
  createAndForget,
  createWithId,
  disturb,
  purge,
  read,
  remove,
  restore,
  update,
} from './single-operations.ts'
import { Writer } from './writer.ts'

export type RoundOptions = {
  /** Two or more instances on one database. */
  readonly services: readonly [TestService, ...TestService[]]
  readonly journal: Journal
  readonly seed: string
  readonly users?: number
  readonly writersOfUser?: number
  readonly replicasOfUser?: number
  readonly operationsOfWriter?: number
  /** Longest time that a replica is given to catch up by the stream, in milliseconds. */
  readonly restWithinMs?: number
}

const operations = [
  [14, create],
  [2, createAndForget],
  [12, createWithId],
  [24, update],
  [4, read],
  [10, remove],
  [10, restore],
  [4, purge],
  [12, disturb],
  [5, batch],
  [2, transfer],
  [3, walk],
] as const

/**
 * One round: users write through all instances, each with several clients at once; replicas follow; the trash is emptied,
 * old things are swept, now and then everything of a user is erased. Then all come to rest, and everything must agree.
 * What does not is in the journal.
 */
export async function runRound(options: RoundOptions): Promise<void> {
  const { services, journal, seed } = options
  const {
    users = 3,
    writersOfUser = 3,
    replicasOfUser = 3,
    operationsOfWriter = 30,
    restWithinMs = 10_000,
  } = options
  const [first, ...more] = services
  const urls: readonly [string, ...string[]] = [first.url, ...more.map(({ url }) => url)]
  const accounts = Array.from({ length: users }, (_, at) => {
    const { userId, token } = first.as(newUser())
    const shared = Array.from({ length: 3 }, () => randomUUID())
    return new Account({ name: `u${at}`, userId, token }, shared, journal)
  })
  const replicas = accounts.map((account) =>
    Array.from({ length: replicasOfUser }, (_, at) => {
      const kind = at % 3 === 0 ? 'mixing' : 'in order'
      return new Replica(account, `r${at}`, kind, urls, seed)
    }),
  )
  const writers = accounts.flatMap((account) =>
    Array.from({ length: writersOfUser }, (_, at) => new Writer(account, `w${at}`, urls, seed)),
  )
  const resting = new AbortController()
  const others = [
    ...replicas.flat().map(async (replica) => {
      while (!resting.signal.aborted) await replica.act()
    }),
    housekeep(options, accounts, resting.signal),
  ]
  try {
    await Promise.all(writers.map((writer) => write(writer, operationsOfWriter)))
  } finally {
    resting.abort()
    await Promise.all(others)
  }
  for (const [at, account] of accounts.entries()) {
    const writer = new Writer(account, 'last', urls, seed)
    await checkAtRest(account, replicas[at] ?? [], urls, () => create(writer), restWithinMs)
  }
  journal.count('replicas', users * replicasOfUser)
}

async function write(writer: Writer, times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    const operation = writer.random.weighted(operations)
    writer.account.journal.count('operations')
    writer.account.journal.count(`operation ${operation.name}`)
    await operation(writer)
  }
}

/** What takes tasks of all writers away: emptying, sweeping, erasing. */
async function housekeep(
  { services, seed }: RoundOptions,
  accounts: readonly Account[],
  signal: AbortSignal,
): Promise<void> {
  const random = new Random(`${seed} housekeeping`)
  while (!signal.aborted) {
    await delay(random.integer(5, 80))
    const account = random.any(accounts)
    if (account === undefined) return
    const act = random.weighted([
      [4, () => empty(services, account, random)],
      [10, () => ageAndSweep(services, accounts, random)],
      [1, () => erase(services, account, random)],
    ])
    await act()
  }
}

async function ask(
  services: RoundOptions['services'],
  account: Account,
  random: Random,
  request: Request,
): Promise<Reply> {
  account.note(`housekeeping → ${request.method} ${request.path}`)
  const reply = await exchange(random.pick(services).url, account.token, request)
  account.note(`housekeeping ← ${reply.status} ${reply.text}`)
  if (reply.status !== 200) account.fail('answer', `${request.method} ${request.path} got ${reply.text}`)
  return reply
}

async function empty(services: RoundOptions['services'], account: Account, random: Random): Promise<void> {
  const end = account.beginRemoval('trash')
  await ask(services, account, random, { method: 'DELETE', path: '/trash' })
  account.journal.count('trash emptied')
  end(true)
}

async function erase(services: RoundOptions['services'], account: Account, random: Random): Promise<void> {
  const end = account.beginRemoval('everywhere')
  await ask(services, account, random, { method: 'DELETE', path: '/data', headers: { confirm: 'erase' } })
  account.journal.count('erasures')
  end(true)
}

/** Makes some of what is in the trash, and of what was removed for good, as old as to be due, and sweeps it. */
async function ageAndSweep(
  services: RoundOptions['services'],
  accounts: readonly Account[],
  random: Random,
): Promise<void> {
  const { testDatabase, database } = random.pick(services)
  // A sweep goes through all users.
  const ends = accounts.map((account) => account.beginRemoval('trash'))
  for (const { userId } of accounts) {
    if (random.chance(0.5))
      await testDatabase.query(
        `update app.tasks set deleted_at = deleted_at - interval '31 days'
        where user_id = $1 and deleted_at is not null and version % 2 = $2`,
        [userId, random.integer(0, 1)],
      )
    if (random.chance(0.5))
      await testDatabase.query(
        `update app.deletions set removed_at = removed_at - interval '91 days' where user_id = $1 and version % 2 = $2`,
        [userId, random.integer(0, 1)],
      )
  }
  const retention = { trashDays: 30, deletionsDays: 90 }
  const swept = await sweep({
    database,
    retention,
    signal: new AbortController().signal,
    batchRows: 3,
    pauseMs: 0,
  })
  const [account] = accounts
  if (swept.error !== undefined) account?.fail('state', `the sweep failed: ${swept.error}`)
  for (const each of accounts)
    each.note(`housekeeping swept: ${swept.trash} of the trash, ${swept.deletions} deletions, ${swept.end}`)
  account?.journal.count('sweeps')
  account?.journal.count('swept from the trash', swept.trash)
  account?.journal.count('deletions forgotten', swept.deletions)
  for (const end of ends) end(false)
}
