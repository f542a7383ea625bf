import { randomUUID } from 'node:crypto'
import type { Task } from '../../src/tasks/task.ts'
import type { Account, KnownTask } from './account.ts'
import { exchangeUntilAnswered, type Reply, type Request, type Safety } from './exchange.ts'
import { Random } from './random.ts'

export type Fields = { title?: string; description?: string | null; completed?: boolean }

/** What an answer on a known task says: whether it fits, and whether it proves where the task is. */
export type Verdict = 'proves' | 'allows'

/**
 * One client that writes. It sends one request at a time, so it knows how each of its own tasks must look, while others
 * write on the same user.
 */
export class Writer {
  readonly account: Account
  readonly random: Random
  readonly own: KnownTask[] = []
  readonly urls: readonly [string, ...string[]]
  readonly name: string
  #titles = 0

  constructor(account: Account, name: string, urls: readonly [string, ...string[]], seed: string) {
    this.account = account
    this.name = name
    this.urls = urls
    this.random = new Random(`${seed} ${account.name} ${name}`)
  }

  /** A title that no other task has had. */
  newTitle(): string {
    return `${this.name} ${++this.#titles}`
  }

  newFields(): Required<Fields> {
    const { random } = this
    return {
      title: this.newTitle(),
      description: random.pick([null, '', 'Text', 'Líne\n2 ☂']),
      completed: random.chance(0.3),
    }
  }

  /** Sends a request; one that may be repeated has a key more often than not. */
  async send(request: Request, safety: Safety): Promise<Reply & { readonly retried: boolean }> {
    const { account, random, name } = this
    const keyed = safety === 'keyed' && random.chance(0.6)
    const headers = { ...request.headers, ...(keyed && { 'idempotency-key': randomUUID() }) }
    const finalSafety = keyed ? 'keyed' : safety === 'keyed' ? 'once' : safety
    const content = request.raw ?? (request.json === undefined ? '' : JSON.stringify(request.json))
    account.note(`${name} → ${request.method} ${request.path} ${content} ${JSON.stringify(headers)}`)
    const reply = await exchangeUntilAnswered(
      this.urls,
      account,
      random,
      { ...request, headers },
      finalSafety,
    )
    account.note(`${name} ← ${reply.status} ${reply.text.slice(0, 600)}`)
    return reply
  }

  /**
   * Sends a request on known tasks, and has each of them judged by the answer.
   *
   * @param judge is told whether the task may be gone for good
   */
  async on(
    tasks: readonly KnownTask[],
    request: Request,
    safety: Safety,
    judge: (reply: Reply & { retried: boolean }, task: KnownTask, mayBeGone: boolean) => Verdict,
  ): Promise<Reply> {
    const start = this.account.journal.tick()
    for (const task of tasks) task.busy = true
    const reply = await this.send(request, safety)
    const removed = this.account.removedSince(start)
    for (const task of tasks) {
      const wasTaken = removed.everything || (removed.trash && task.state === 'trash')
      const verdict = judge(reply, task, task.uncertain || wasTaken)
      const mayBeTaken = removed.everything || (removed.trash && task.state === 'trash')
      task.uncertain = task.state !== 'gone' && (mayBeTaken || (verdict === 'allows' && task.uncertain))
      task.busy = false
      task.touchedAt = this.account.journal.tick()
    }
    return reply
  }

  /** Says that an answer is not what it must be. */
  wrong(reply: Reply, expected: string): 'allows' {
    this.account.fail('answer', `${this.name} got ${reply.status} ${reply.text}, and not ${expected}`)
    return 'allows'
  }

  /** Adds a task that an answer showed. */
  adopt(task: Task): KnownTask {
    const known: KnownTask = {
      ...task,
      state: 'live',
      uncertain: false,
      busy: false,
      touchedAt: this.account.journal.tick(),
    }
    this.own.push(known)
    this.account.known.set(task.id, known)
    return known
  }

  /** Compares a task that an answer shows with what is known, with the given changes; knows it so from then on. */
  shows(known: KnownTask, task: Task, fields: Fields, where: string): Verdict {
    const { title = known.title, description = known.description, completed = known.completed } = fields
    this.account.saw(task, where)
    const isSame = task.title === title && task.description === description && task.completed === completed
    if (task.id !== known.id || !isSame)
      this.account.fail('answer', `${where}: ${JSON.stringify(task)} is not ${JSON.stringify(known)} changed`)
    Object.assign(known, { state: 'live', title, description, completed, version: task.version })
    return 'proves'
  }

  /** A task of its own, in a state as a rule. */
  choose(state: KnownTask['state']): KnownTask | undefined {
    const { random, own } = this
    const fitting = random.chance(0.9) ? own.filter((task) => task.state === state) : own
    return random.any(fitting)
  }
}
