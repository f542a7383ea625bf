import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Task } from '../../src/tasks/task.ts'

/** What a client wants to be there once: a task of this title. */
export type Intent = {
  readonly title: string
  /** As the last acknowledgement showed it; undefined when the client gave up before it had one. */
  task: Task | undefined
}

export type Counts = {
  requests: number
  failures: number
  inProgress: number
  replays: number
  found: number
}

type Answer = { readonly status: number; readonly headers: Headers; readonly text: string }

/** Longest that an answer is waited for, in milliseconds; then the request is sent again. */
const answerTimeoutMs = 15_000

/** Keeps a request up until it is answered, through whatever kills of the service. */
export class StubbornClient {
  readonly intents: Intent[] = []
  /** What was answered otherwise than it had to be. */
  readonly wrongs: string[] = []
  readonly counts: Counts = { requests: 0, failures: 0, inProgress: 0, replays: 0, found: 0 }
  readonly #url: () => Promise<string>
  readonly #token: string
  readonly #name: string
  #titles = 0
  #turn = 0

  constructor(name: string, token: string, url: () => Promise<string>) {
    this.#name = name
    this.#token = token
    this.#url = url
  }

  /** Creates a task in one of the ways that are safe to repeat; then, perhaps, changes it. */
  async act(): Promise<void> {
    const way = this.#turn++ % 4
    if (way === 3) return this.#createMany()
    const intent = this.#intend()
    const withId = way > 0
    const body = { title: intent.title, ...(withId && { id: randomUUID() }) }
    const key = way === 1 ? undefined : randomUUID()
    const answer = await this.#ask('POST', '', body, { key })
    if (answer === undefined) return
    if (answer.status === 200 && way === 1) this.counts.found++
    else if (answer.status !== 201) return this.#wrong(answer, 'a create')
    this.#acknowledge(intent, answer)
    if (Math.random() < 0.5) await this.#rename(intent)
    if (Math.random() < 0.5) await this.#toggle(intent)
  }

  /** Several at once, all or none. */
  async #createMany(): Promise<void> {
    const intents = [this.#intend(), this.#intend(), this.#intend()]
    const operations = intents.map(({ title }) => ({ op: 'create', task: { title } }))
    const answer = await this.#ask('POST', '/batch', { operations }, { key: randomUUID() })
    if (answer === undefined) return
    if (answer.status !== 200) return this.#wrong(answer, 'a batch')
    const items: { task: Task }[] = JSON.parse(answer.text).data
    for (const [at, intent] of intents.entries()) intent.task = items[at]?.task
  }

  /** With the version that this client alone has moved: it can only fit, however often the request is sent. */
  async #rename(intent: Intent): Promise<void> {
    const { task } = intent
    if (task === undefined) return
    const body = { description: `renamed ${task.version}` }
    const headers = { key: randomUUID(), ifMatch: `"${task.version}"` }
    const answer = await this.#ask('PATCH', `/${task.id}`, body, headers, true)
    if (answer?.status === 200) this.#acknowledge(intent, answer, body)
    else if (answer !== undefined) this.#wrong(answer, 'a change with If-Match')
  }

  /** The other way round, once: a second time would show. */
  async #toggle(intent: Intent): Promise<void> {
    const { task } = intent
    if (task === undefined) return
    const answer = await this.#ask('PATCH', `/${task.id}/complete`, undefined, { key: randomUUID() }, true)
    if (answer?.status === 200) this.#acknowledge(intent, answer, { completed: !task.completed })
    else if (answer !== undefined) this.#wrong(answer, 'a toggle')
  }

  #intend(): Intent {
    const intent = { title: `${this.#name} ${++this.#titles}`, task: undefined }
    this.intents.push(intent)
    return intent
  }

  #acknowledge(intent: Intent, answer: Answer, changed: Partial<Task> = {}): void {
    const task: Task = JSON.parse(answer.text).data
    const expected = { ...intent.task, title: intent.title, ...changed, version: task.version }
    const isNewer = intent.task === undefined || task.version > intent.task.version
    const isSame = Object.entries(expected).every(
      ([name, value]) =>
        name.endsWith('_at') || JSON.stringify(Reflect.get(task, name)) === JSON.stringify(value),
    )
    if (!isNewer || !isSame) this.#wrong(answer, `${JSON.stringify(intent)} with ${JSON.stringify(changed)}`)
    intent.task = task
  }

  #wrong({ status, text }: Answer, expected: string): void {
    this.wrongs.push(`${this.#name}: ${status} ${text} is no answer to ${expected}`)
  }

  /**
   * Sends a request until there is an answer. One in twenty is given up at the first failure, unless it must be answered.
   *
   * @returns undefined when it was given up
   */
  async #ask(
    method: string,
    path: string,
    body: unknown,
    { key, ifMatch }: { key?: string | undefined; ifMatch?: string },
    mustBeAnswered = false,
  ): Promise<Answer | undefined> {
    for (;;) {
      this.counts.requests++
      const answer = await this.#send(method, path, body, {
        authorization: `Bearer ${this.#token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key }),
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      })
      if (answer?.headers.get('idempotency-replayed') === 'true') this.counts.replays++
      const inProgress = answer?.status === 409 && answer.text.includes('IDEMPOTENCY_IN_PROGRESS')
      if (inProgress) this.counts.inProgress++
      if (answer !== undefined && !inProgress && answer.status < 500) return answer
      if (answer === undefined) this.counts.failures++
      if (!mustBeAnswered && Math.random() < 0.05) return undefined
      await delay(Math.random() * 20)
    }
  }

  /** @returns undefined when there was no whole answer */
  async #send(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Answer | undefined> {
    try {
      const response = await fetch(`${await this.#url()}/api/me/tasks${path}`, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(answerTimeoutMs),
      })
      return { status: response.status, headers: response.headers, text: await response.text() }
    } catch (error) {
      // What fetch throws when the connection fails, before the answer or within it, and when none comes.
      if (error instanceof TypeError || error instanceof DOMException) return undefined
      throw error
    }
  }
}
