import type { Config } from '../config.ts'
import type { ConnectedDatabase } from '../db/connect.ts'
import type { Answers, Asks } from '../limits/asked-buckets.ts'
import type { Family } from '../ops/exposition.ts'
import type { StopReason } from '../serve/run.ts'

/** What a worker has to know to begin. It reads no environment and no file: all workers go by the same. */
export type Begin = {
  /** Its number, from 1 on: the one that takes its place has it too. */
  readonly worker: number
  /** With its shares of DATABASE_POOL_MAX and MAX_CONNECTIONS. */
  readonly config: Config
  readonly secrets: readonly string[]
  readonly connection: ConnectedDatabase['connection']
}

export type ToWorker =
  | { readonly type: 'begin'; readonly begin: Begin }
  | { readonly type: 'stop'; readonly reason: StopReason }
  | { readonly type: 'answers'; readonly answers: Answers }
  /** Of these users something was committed through other workers. */
  | { readonly type: 'commits'; readonly userIds: readonly string[] }
  /** Asks for its metrics. */
  | { readonly type: 'metrics' }

export type ToPrimary =
  | { readonly type: 'listening'; readonly address: string; readonly isReady: boolean }
  /** It cannot go on, and no other in its place could; the message is for the operator. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'asks'; readonly asks: Asks }
  | { readonly type: 'commits'; readonly userIds: readonly string[] }
  /** Whether it has streams, which want to hear of commits. */
  | { readonly type: 'streams'; readonly areOpen: boolean }
  | { readonly type: 'metrics'; readonly families: readonly Family[] }

/** Users of whom something was committed, told once for each turn of the event loop. */
export class CommitBatch {
  readonly #send: (userIds: readonly string[]) => void
  #userIds = new Set<string>()

  constructor(send: (userIds: readonly string[]) => void) {
    this.#send = send
  }

  add(userId: string): void {
    if (this.#userIds.size === 0) setImmediate(() => this.#flush())
    this.#userIds.add(userId)
  }

  #flush(): void {
    const userIds = [...this.#userIds]
    this.#userIds = new Set()
    this.#send(userIds)
  }
}
