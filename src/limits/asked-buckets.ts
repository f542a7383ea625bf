import { LinkedList, type ListNode } from '../lib/linked-list.ts'
import { type Bucket, LocalBuckets } from './local-buckets.ts'
import type { SharedBuckets } from './rate-limiter.ts'

/** Requests to be taken out of buckets of another process. */
export type Asks = {
  readonly id: number
  readonly takes: readonly (readonly [key: string, intervalUs: number, periodUs: number])[]
}

/** What the other process says to asks with the same id, in their order. */
export type Answers = { readonly id: number; readonly buckets: readonly Bucket[] }

/** Longest that a request waits for an answer, in milliseconds: it takes one, unless the other process is stopped. */
const defaultAnswerTimeoutMs = 1_000

type Waiting = {
  readonly takes: [key: string, intervalUs: number, periodUs: number][]
  readonly resolves: ((bucket: Bucket | undefined) => void)[]
}

type Asked = { readonly id: number; readonly waiting: Waiting; readonly timer: NodeJS.Timeout }

/**
 * Buckets that another process keeps, which answers with `KeptBuckets`. What is asked during one turn of the event loop
 * goes in one message. While an answer is overdue nobody waits: `take` returns undefined at once, until one comes.
 */
export class AskedBuckets implements SharedBuckets {
  readonly #send: (asks: Asks) => void
  readonly #answerTimeoutMs: number
  readonly #underWay = new LinkedList<Asked>()
  #next: Waiting | undefined
  #lastId = 0
  #isAway = false

  constructor(send: (asks: Asks) => void, answerTimeoutMs = defaultAnswerTimeoutMs) {
    this.#send = send
    this.#answerTimeoutMs = answerTimeoutMs
  }

  take(key: string, intervalUs: number, periodUs: number): Promise<Bucket | undefined> | undefined {
    if (this.#isAway) return undefined
    if (this.#next === undefined) {
      this.#next = { takes: [], resolves: [] }
      setImmediate(() => this.#flush())
    }
    const { takes, resolves } = this.#next
    takes.push([key, intervalUs, periodUs])
    return new Promise((resolve) => resolves.push(resolve))
  }

  /** Takes an answer in. */
  receive({ id, buckets }: Answers): void {
    this.#isAway = false
    // Answers come in the order of the asks, as a rule.
    const asked = this.#underWay.find((each) => each.id === id)
    if (asked !== undefined) this.#settle(asked, buckets)
  }

  /** The other process is gone: nothing will be answered. */
  lose(): void {
    this.#isAway = true
    for (let asked = this.#underWay.shift(); asked !== undefined; asked = this.#underWay.shift())
      resolveAll(asked, [])
  }

  #flush(): void {
    const waiting = this.#next
    if (waiting === undefined) return
    this.#next = undefined
    const id = ++this.#lastId
    const timer = setTimeout(() => {
      // What has arrived while this process was busy is read first.
      setImmediate(() => {
        if (this.#settle(asked, [])) this.#isAway = true
      })
    }, this.#answerTimeoutMs)
    const asked = this.#underWay.append({ id, waiting, timer })
    this.#send({ id, takes: waiting.takes })
  }

  /** @returns whether it was still under way */
  #settle(asked: ListNode<Asked>, buckets: readonly Bucket[]): boolean {
    if (!this.#underWay.remove(asked)) return false
    resolveAll(asked.value, buckets)
    return true
  }
}

function resolveAll({ waiting, timer }: Asked, buckets: readonly Bucket[]): void {
  clearTimeout(timer)
  for (const [index, resolve] of waiting.resolves.entries()) resolve(buckets[index])
}

/** The buckets of all limits, by the name before the first `:` of a key, for other processes to ask. */
export class KeptBuckets {
  readonly #byLimit = new Map<string, LocalBuckets>()

  answer({ id, takes }: Asks): Answers {
    return {
      id,
      buckets: takes.map(([key, intervalUs, periodUs]) => this.#of(key, intervalUs, periodUs).take(key)),
    }
  }

  /** Limits are few, and each has its own bound. */
  #of(key: string, intervalUs: number, periodUs: number): LocalBuckets {
    const name = key.slice(0, key.indexOf(':'))
    let buckets = this.#byLimit.get(name)
    if (buckets === undefined) {
      buckets = new LocalBuckets(intervalUs, periodUs)
      this.#byLimit.set(name, buckets)
    }
    return buckets
  }
}
