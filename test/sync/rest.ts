import type { Task } from '../../src/tasks/task.ts'
import { eventually } from '../support/process.ts'
import type { Account, KnownTask } from './account.ts'
import { exchange } from './exchange.ts'
import type { Replica } from './replica.ts'

type Urls = readonly [string, ...string[]]

/** What the server holds of a user: the text of each task of the list, and the ids in the trash. */
type Held = { readonly live: ReadonlyMap<string, string>; readonly trash: ReadonlySet<string> }

/**
 * Compares the replicas of a user, and what was answered to its writers, with what the server holds at rest. Every second
 * replica is told by the stream, the last write while it is open.
 *
 * @param writeLast makes one more change
 * @param withinMs longest time that a replica may take by the stream
 */
export async function checkAtRest(
  account: Account,
  replicas: readonly Replica[],
  urls: Urls,
  writeLast: () => Promise<void>,
  withinMs: number,
): Promise<void> {
  let held: Held | undefined
  const streaming = replicas
    .filter((_, at) => at % 2 === 1)
    .map(async (replica) => {
      const isComplete = () => held !== undefined && differences(replica, held).length === 0
      await replica.catchUpByStream(isComplete, withinMs)
    })
  const listening = replicas.filter((_, at) => at % 2 === 1)
  await eventually(async () => listening.every(({ isFollowing }) => isFollowing))
  await writeLast()
  held = await readHeld(account, urls)
  await Promise.all(streaming)
  for (const replica of replicas) {
    const byStream = listening.includes(replica)
    if (!byStream) await replica.catchUp()
    for (const difference of differences(replica, held))
      account.fail(
        'replica',
        `${replica.name}, at rest ${byStream ? 'by stream' : 'by pages'}, has ${difference}`,
      )
  }
  for (const known of account.known.values()) checkKnown(account, known, held)
  checkOthers(account, held)
}

/** Where a replica differs from the server, byte for byte. */
function differences({ tasks }: Replica, { live }: Held): string[] {
  const mine = new Map(Array.from(tasks, ([id, task]) => [id, JSON.stringify(task)]))
  return [...new Set([...mine.keys(), ...live.keys()])]
    .filter((id) => mine.get(id) !== live.get(id))
    .map((id) => `${mine.get(id) ?? `no ${id}`} instead of ${live.get(id) ?? 'none'}`)
}

/** Reads list and trash, again if a request that was given up came through meanwhile. */
async function readHeld(account: Account, urls: Urls): Promise<Held> {
  for (;;) {
    const before = await counterOf(account, urls)
    const live = await readAll(account, urls, 'tasks')
    const trash = await readAll(account, urls, 'trash')
    if ((await counterOf(account, urls)) !== before) continue
    for (const task of live) account.saw(task, 'list at rest')
    return {
      live: new Map(live.map((task) => [task.id, JSON.stringify(task)])),
      trash: new Set(trash.map(({ id }) => id)),
    }
  }
}

async function counterOf({ token }: Account, urls: Urls): Promise<string | null> {
  const reply = await exchange(urls[0], token, { method: 'GET', path: '/tasks?limit=1' })
  return reply.headers.get('etag')
}

async function readAll(account: Account, urls: Urls, list: 'tasks' | 'trash'): Promise<Task[]> {
  const all: Task[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path = `/${list}?limit=500${cursor && `&cursor=${cursor}`}`
    const reply = await exchange(urls[0], account.token, { method: 'GET', path })
    if (reply.status !== 200) throw new Error(`${path} got ${reply.text}`)
    all.push(...reply.body.data)
    cursor = reply.body.meta.next_cursor
  }
  return all
}

/** A task is where its writer knows it to be, as it was answered last. */
function checkKnown(account: Account, known: KnownTask, { live, trash }: Held): void {
  const { id, uncertain, version } = known
  const state = live.has(id) ? 'live' : trash.has(id) ? 'trash' : 'gone'
  const text = live.get(id)
  const found: Partial<Task> = text === undefined ? {} : JSON.parse(text)
  const isRight = state === known.state || (uncertain && state === 'gone')
  const isSame =
    text === undefined ||
    (found.title === known.title &&
      found.description === known.description &&
      found.completed === known.completed &&
      (version === undefined || found.version === version))
  if (!isRight || !isSame)
    account.fail('state', `the server has ${text ?? `${id} ${state}`} and not ${JSON.stringify(known)}`)
}

/** What no writer has for its own: the tasks of all, and those of which no answer told the id. */
function checkOthers(account: Account, { live, trash }: Held): void {
  const anonymous = new Map<string, number>()
  for (const [id, text] of live) {
    const { version, title }: Task = JSON.parse(text)
    if (version < account.newestOf(id)) account.fail('state', `${id} is older than an answer: ${text}`)
    if (account.known.has(id) || account.shared.includes(id)) continue
    if (!account.anonymous.has(title)) account.fail('state', `nobody wrote ${text}`)
    anonymous.set(title, (anonymous.get(title) ?? 0) + 1)
  }
  for (const id of trash)
    if (!account.known.has(id) && !account.shared.includes(id)) account.fail('state', `nobody deleted ${id}`)
  for (const [title, times] of account.anonymous) {
    const count = anonymous.get(title) ?? 0
    if (count > 1 || (times === 'once' && count === 0))
      account.fail('state', `there are ${count} tasks ${title}, written ${times}`)
  }
}
