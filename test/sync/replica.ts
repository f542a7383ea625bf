import { setTimeout as delay } from 'node:timers/promises'
import type { Task } from '../../src/tasks/task.ts'
import type { Account } from './account.ts'
import { readEvents } from './event-stream.ts'
import { exchange } from './exchange.ts'
import { Random } from './random.ts'

type Change =
  | { readonly type: 'upsert'; readonly task: Task }
  | { readonly type: 'delete'; readonly id: string; readonly version: number }

/** What a replica writes to its disk: tasks and cursor together. */
type Saved = {
  readonly cursor: string | undefined
  readonly tasks: ReadonlyMap<string, Task>
  readonly versions: ReadonlyMap<string, number>
}

const nothing: Saved = { cursor: undefined, tasks: new Map(), versions: new Map() }

/** By page and stream at the same time, or by one after the other. Only the first needs to compare versions. */
export type ReplicaKind = 'mixing' | 'in order'

/**
 * A client that follows the changes of one user by the rules of docs/sync.md: it applies in order what it is sent, an
 * upsert sets, a delete removes, at 410 it starts again, and what it starts without a cursor it starts with nothing. It is unlucky on purpose: it loses answers and cursors, is
 * cut off and falls back to what it saved.
 */
export class Replica {
  readonly name: string
  readonly tasks = new Map<string, Task>()
  /** Whether a stream is open and ready. */
  isFollowing = false
  readonly #account: Account
  readonly #kind: ReplicaKind
  readonly #urls: readonly [string, ...string[]]
  readonly #random: Random
  readonly #versions = new Map<string, number>()
  #cursor: string | undefined
  #saved = nothing
  /** Another one after each new beginning: what an older stream still brings is not for this state. */
  #life = 0

  constructor(
    account: Account,
    name: string,
    kind: ReplicaKind,
    urls: readonly [string, ...string[]],
    seed: string,
  ) {
    this.name = name
    this.#account = account
    this.#kind = kind
    this.#urls = urls
    this.#random = new Random(`${seed} ${account.name} ${name}`)
  }

  /** Does one thing. */
  async act(): Promise<void> {
    const random = this.#random
    const act = random.weighted<() => Promise<unknown>>([
      [50, () => this.readPage(random.pick([1, 2, 3, 5, 20, 500]))],
      [8, () => this.#stream(random.integer(5, 150))],
      [6, async () => this.#save()],
      [6, async () => this.#crash()],
      [2, async () => this.#startAgain('of its own')],
      [10, () => delay(random.integer(0, 30))],
    ])
    await act()
  }

  /**
   * Reads a page and applies it, unless the answer is lost.
   *
   * @returns whether there is more
   */
  async readPage(limit: number, isSafe = false): Promise<boolean> {
    const { journal, token } = this.#account
    const random = this.#random
    const [life, cursor] = [this.#life, this.#cursor]
    const query = new URLSearchParams({ limit: String(limit), ...(cursor && { since: cursor }) })
    const reply = await exchange(random.pick(this.#urls), token, { method: 'GET', path: `/changes?${query}` })
    journal.count('pages')
    if (life !== this.#life) return true
    if (reply.status === 410 && cursor !== undefined) {
      journal.count('410s')
      this.#startAgain('410')
      return true
    }
    if (reply.status !== 200) {
      this.#account.fail('feed', `${this.name} got ${reply.status} ${reply.text}`)
      return false
    }
    const { data, meta } = reply.body
    const lost = isSafe
      ? 'nothing'
      : random.weighted([
          [80, 'nothing'],
          [8, 'answer'],
          [12, 'cursor'],
        ])
    this.#note(`page of ${limit} since ${cursor}: ${describe(data)}, next ${meta.next_cursor}, lost: ${lost}`)
    if (lost !== 'nothing') journal.count('answers lost')
    if (lost === 'answer') return true
    // Without a cursor the page begins the whole state anew. Deletions before it are not told: what is held must go.
    if (cursor === undefined) this.#load(nothing)
    this.#checkOrder(data)
    for (const change of data) this.#apply(change)
    if (lost === 'nothing') this.#cursor = meta.next_cursor
    return meta.has_more
  }

  /** Reads pages until there is no more. */
  async catchUp(): Promise<void> {
    while (await this.readPage(this.#random.pick([3, 50, 500]), true));
  }

  /**
   * Follows the stream until it is cut, one after the other with pages or at the same time.
   *
   * @param until ends it when it gives true
   */
  async #stream(forMs: number, until: () => boolean = () => false): Promise<void> {
    const cut = new AbortController()
    const timer = setTimeout(() => cut.abort(), forMs)
    const poll = setInterval(() => until() && cut.abort(), 10)
    const following = this.#follow(cut)
    if (this.#kind === 'mixing' && forMs > 40) {
      await this.readPage(this.#random.pick([2, 20, 500]))
      await this.readPage(this.#random.pick([2, 20, 500]))
    }
    await following
    clearTimeout(timer)
    clearInterval(poll)
  }

  async #follow(cut: AbortController): Promise<void> {
    const { token, journal } = this.#account
    const url = this.#random.pick(this.#urls)
    const [life, cursor] = [this.#life, this.#cursor]
    // Without a cursor it would start now, which is not what a replica needs.
    if (cursor === undefined) return
    const byHeader = this.#random.chance(0.5)
    const headers = { authorization: `Bearer ${token}`, ...(byHeader && { 'last-event-id': cursor }) }
    const query = byHeader ? '' : `?since=${encodeURIComponent(cursor)}`
    journal.count('streams')
    let last = 0
    try {
      for await (const each of readEvents(`${url}/api/me/changes/stream${query}`, headers, cut.signal)) {
        if (life !== this.#life || cut.signal.aborted) break
        this.#note(`event ${each.event} ${each.id} ${each.data.slice(0, 120)}`)
        this.isFollowing = true
        if (each.event === 'reset') {
          journal.count('410s')
          this.#startAgain('reset')
          break
        }
        if (each.event === 'change') {
          const change: Change = JSON.parse(each.data)
          journal.count('events')
          if (versionOf(change) <= last) this.#account.fail('feed', `${this.name}: a stream went back`)
          last = versionOf(change)
          this.#apply(change)
        }
        // Some clients keep the cursor only now and then.
        if (this.#random.chance(0.8)) this.#cursor = each.id
      }
    } catch (error) {
      if (!cut.signal.aborted) this.#account.fail('feed', `${this.name}: ${error}`)
    }
    this.isFollowing = false
    cut.abort()
  }

  /**
   * Follows the stream until the replica holds what it must, or the time is over.
   */
  async catchUpByStream(isComplete: () => boolean, withinMs: number): Promise<void> {
    const end = performance.now() + withinMs
    while (!isComplete() && performance.now() < end) {
      if (this.#cursor === undefined) await this.readPage(3, true)
      await this.#stream(withinMs, isComplete)
    }
  }

  #apply(change: Change): void {
    const { journal } = this.#account
    const [id, version] = [change.type === 'upsert' ? change.task.id : change.id, versionOf(change)]
    const known = this.#versions.get(id) ?? 0
    journal.count('changes applied')
    if (version <= known) journal.count('changes seen again')
    // In order, what comes later is never older. It is what a replica that mixes must look at.
    if (this.#kind === 'mixing' && version <= known) return
    this.#versions.set(id, version)
    if (change.type === 'delete') return void this.tasks.delete(id)
    this.tasks.set(id, change.task)
    this.#account.saw(change.task, `${this.name} was sent`)
  }

  /** A page has each task once, in the order of their last changes. */
  #checkOrder(changes: readonly Change[]): void {
    const versions = changes.map(versionOf)
    const ids = new Set(changes.map((each) => (each.type === 'upsert' ? each.task.id : each.id)))
    const isOrdered = versions.every((version, at) => at === 0 || version > (versions[at - 1] ?? 0))
    if (!isOrdered || ids.size < changes.length)
      this.#account.fail('feed', `${this.name}: a page is out of order: ${describe(changes)}`)
  }

  #save(): void {
    this.#saved = { cursor: this.#cursor, tasks: new Map(this.tasks), versions: new Map(this.#versions) }
    this.#note('saves')
  }

  #crash(): void {
    this.#account.journal.count('restarts')
    this.#note(`falls back to ${this.#saved.cursor}`)
    this.#load(this.#saved)
  }

  #startAgain(why: string): void {
    this.#account.journal.count('new beginnings')
    this.#note(`starts again: ${why}`)
    this.#saved = nothing
    this.#load(nothing)
  }

  #load({ cursor, tasks, versions }: Saved): void {
    this.#life++
    this.#cursor = cursor
    this.tasks.clear()
    this.#versions.clear()
    for (const [id, task] of tasks) this.tasks.set(id, task)
    for (const [id, version] of versions) this.#versions.set(id, version)
  }

  #note(text: string): void {
    this.#account.note(`${this.name} ${text}`)
  }
}

function versionOf(change: Change): number {
  return change.type === 'upsert' ? change.task.version : change.version
}

/** Changes in short: `+id@version` and `-id@version`. */
function describe(changes: readonly Change[]): string {
  const short = (change: Change) =>
    change.type === 'upsert' ? `+${change.task.id}@${change.task.version}` : `-${change.id}@${change.version}`
  return `[${changes.map(short).join(' ')}]`
}
