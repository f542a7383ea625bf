import { hash } from 'node:crypto'

export type VerifiedToken = {
  readonly userId: string
  /** Seconds since the epoch, from exp. */
  readonly expiresAtS: number
}

type Entry = { readonly token: VerifiedToken; readonly untilMs: number }

const maxAgeMs = 60_000

/**
 * Remembers which tokens were found good, for the shorter of 60 s and the time to their expiry. The tokens
 * themselves are not kept, only their SHA-256.
 *
 * Two generations, each of half the capacity: when the young one is full it becomes the old one, and what was
 * old is dropped. That bounds the memory and makes every operation O(1) without timers; deleting the first
 * key of one large Map would scan over the places of those deleted before it.
 */
export class VerifiedTokenCache {
  readonly #generationSize: number
  #young = new Map<string, Entry>()
  #old = new Map<string, Entry>()

  /** @param capacity the most entries that are kept; below 2 nothing is kept */
  constructor(capacity: number) {
    this.#generationSize = Math.floor(capacity / 2)
  }

  /** The number of entries kept, those past their time included until they are pushed out. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  /** The key of a token: its SHA-256, which nobody can make another token collide with. */
  keyOf(token: string): string {
    return hash('sha256', token, 'base64url')
  }

  /** @param nowMs the time, in milliseconds since the epoch */
  get(key: string, nowMs: number): VerifiedToken | undefined {
    const entry = this.#young.get(key) ?? this.#old.get(key)
    return entry !== undefined && nowMs < entry.untilMs ? entry.token : undefined
  }

  /**
   * Keeps a token that was just verified.
   * @param nowMs the time, in milliseconds since the epoch
   */
  set(key: string, token: VerifiedToken, nowMs: number): void {
    const untilMs = Math.min(token.expiresAtS * 1000, nowMs + maxAgeMs)
    if (!(untilMs > nowMs && this.#generationSize >= 1)) return
    if (this.#young.size >= this.#generationSize && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    // A copy: an id cut out of the token's text would keep the whole text in memory.
    const userId = Buffer.from(token.userId).toString()
    this.#young.set(key, { token: { userId, expiresAtS: token.expiresAtS }, untilMs })
  }

  /** Forgets everything; called when keys change. */
  clear(): void {
    this.#young.clear()
    this.#old.clear()
  }
}
