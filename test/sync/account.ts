import type { Task } from '../../src/tasks/task.ts'
import type { Journal } from './journal.ts'

/**
 * What a writer knows of a task that no other writer touches. What goes on for all tasks of a user at once (the trash is
 * emptied or swept, everything is erased) may take it away meanwhile: then it is uncertain.
 */
export type KnownTask = {
  readonly id: string
  state: 'live' | 'trash' | 'gone'
  title: string
  description: string | null
  completed: boolean
  /** Undefined when the answer to the last change did not tell it. */
  version: number | undefined
  /** Whether it may be gone for good instead. */
  uncertain: boolean
  /** Whether a request on it is under way. */
  busy: boolean
  /** When the last answer on it came. */
  touchedAt: number
}

/** What takes tasks of a user away for good: out of the trash, or all. */
type Removal = { readonly from: 'trash' | 'everywhere'; readonly start: number; end: number }

/** One user, and everything that answers have told so far. */
export class Account {
  readonly name: string
  readonly userId: string
  readonly token: string
  readonly journal: Journal
  readonly known = new Map<string, KnownTask>()
  /** Ids on which all writers write. */
  readonly shared: readonly string[]
  /** Titles of tasks whose ids no answer told, and whether one was told to be there. */
  readonly anonymous = new Map<string, 'once' | 'at most once'>()
  /** The version at which an If-Match let a change pass, by task: it may do so once. */
  readonly #passed = new Set<string>()
  readonly #removals: Removal[] = []
  readonly #byVersion = new Map<number, string>()
  readonly #newest = new Map<string, number>()

  constructor(
    user: { readonly name: string; readonly userId: string; readonly token: string },
    shared: readonly string[],
    journal: Journal,
  ) {
    this.name = user.name
    this.userId = user.userId
    this.token = user.token
    this.shared = shared
    this.journal = journal
  }

  note(text: string): void {
    this.journal.note(this.name, text)
  }

  fail(kind: 'replica' | 'feed' | 'answer' | 'state', text: string): void {
    this.journal.fail(kind, this.name, text)
  }

  /** Notes a task as it was shown: at one version of the user there is one task, and it looks one way. */
  saw(task: Task, where: string): void {
    const text = JSON.stringify(task)
    const before = this.#byVersion.get(task.version)
    this.#byVersion.set(task.version, text)
    if (task.user_id !== this.userId) this.fail('answer', `${where}: another user's task ${text}`)
    if (before !== undefined && before !== text)
      this.fail('answer', `${where}: version ${task.version} was ${before} and is now ${text}`)
    this.#newest.set(task.id, Math.max(task.version, this.#newest.get(task.id) ?? 0))
  }

  /** The highest version at which any answer showed the task. */
  newestOf(id: string): number {
    return this.#newest.get(id) ?? 0
  }

  /** Notes a change that If-Match let pass. */
  passed(id: string, version: number): void {
    const change = `${id} ${version}`
    if (this.#passed.has(change)) this.fail('answer', `two changes with If-Match ${version} passed on ${id}`)
    this.#passed.add(change)
  }

  /** What of the user's may have been taken away since a moment. */
  removedSince(start: number): { readonly everything: boolean; readonly trash: boolean } {
    const during = this.#removals.filter(({ end }) => end > start)
    return { everything: during.some(({ from }) => from === 'everywhere'), trash: during.length > 0 }
  }

  /**
   * Says that tasks are about to be taken away.
   *
   * @returns to be called when it is done; `all`: whether every task that was there before is gone
   */
  beginRemoval(from: Removal['from']): (all: boolean) => void {
    const removal: Removal = { from, start: this.journal.tick(), end: Number.POSITIVE_INFINITY }
    this.#removals.push(removal)
    return (all) => {
      removal.end = this.journal.tick()
      for (const task of this.known.values()) {
        if (task.state !== 'trash' && (task.state === 'gone' || from === 'trash')) continue
        if (all && !task.busy && task.touchedAt < removal.start) task.state = 'gone'
        task.uncertain = task.state !== 'gone'
      }
      if (from !== 'everywhere') return
      for (const title of this.anonymous.keys()) this.anonymous.set(title, 'at most once')
    }
  }
}
