import type { VerificationKey } from './jwk.ts'
import { KnownKeys } from './known-keys.ts'

/** When keys are loaded, in milliseconds. */
const timing = {
  /** One load takes no longer than this. */
  loadTimeout: 5_000,
  /** A token waits for a load no longer than this; the load goes on. */
  patience: 2_000,
  /** Keys older than this are loaded again in the background, when they are used; give or take a tenth. */
  refreshAfter: 5 * 60_000,
  /** Keys older than this, after a pause in their use, are not used before they have been loaded again. */
  waitAfter: 15 * 60_000,
  /** Keys are used no longer than this when they cannot be loaded again. */
  maxAge: 24 * 60 * 60_000,
  /** At most one load in this time is caused by tokens that do not fit the known keys. */
  demandCooldown: 5_000,
  /** Between a failed load and the next, while keys are known. */
  retryAfterKnown: 30_000,
  /** Between two loads while no keys are known. */
  retryAfterNone: 1_000,
} as const

/** What happens to the keys, for the log; key material is never in it. Durations in milliseconds. */
export type KeySetEvent =
  | {
      readonly type: 'fetched'
      readonly keys: number
      readonly added: number
      /** Those gone, or replaced under the same `kid`. */
      readonly removed: number
      /** Why others were left out. */
      readonly refused: readonly string[]
      readonly durationMs: number
      /** How many loads had failed since the last good one. */
      readonly failuresBefore: number
    }
  | {
      readonly type: 'failed'
      readonly reason: string
      /** How many in a row. */
      readonly failures: number
      /** How many keys are used on. */
      readonly known: number
    }

/** No key fits; with `retryAfterS`, in seconds, because no keys are known at all and none can be had. */
export type KeyMissing = { readonly found: undefined; readonly retryAfterS?: number }
export type KeyLookup = { readonly found: VerificationKey } | KeyMissing

export type KeySetOptions = {
  /**
   * Gives the JWKS as it is now: a fetch, or a look-up within the service. It should end when the signal says so; it
   * is not waited for any longer. What it throws is a failure like any other.
   */
  readonly load: (signal: AbortSignal) => Promise<unknown>
  readonly onEvent?: (event: KeySetEvent) => void
  /** The clock, in milliseconds since the epoch; Date.now by default. */
  readonly nowMs?: () => number
}

/**
 * The keys of one issuer, kept up to date as they are used; no timer runs. One load at a time, which all who need it
 * wait for together. Known keys are used on while the issuer is away, for 24 h.
 */
export class KeySet {
  readonly #options: KeySetOptions
  readonly #nowMs: () => number
  #isStopped = false
  #known = new KnownKeys([])
  #generation = 0
  #loading: Promise<void> | undefined
  /** Ends the load that is under way. */
  #ending = new AbortController()
  /** Loads are numbered, so that one can tell whether a load began after a token had come. */
  #begun = 0
  #ended = 0
  #failures = 0
  #loadedAtMs = Number.NEGATIVE_INFINITY
  #endedAtMs = Number.NEGATIVE_INFINITY
  #demandedAtMs = Number.NEGATIVE_INFINITY
  #refreshAfterMs: number = timing.refreshAfter

  constructor(options: KeySetOptions) {
    this.#options = options
    this.#nowMs = options.nowMs ?? Date.now
  }

  /** Rises with every change of the keys: what was verified with an earlier generation is to be forgotten. */
  get generation(): number {
    return this.#generation
  }

  /** Loads the keys now, so that the first token does not wait. Never fails: what is wrong is told to `onEvent`. */
  async warmUp(): Promise<void> {
    await this.#load()
  }

  /**
   * The key for a token. An unknown one makes the keys be loaded again, once in 5 s for all tokens together.
   *
   * @param rejected a key that did not fit the token's signature: only another one is found, which the issuer may have
   * put under the same name since
   * @returns the key; or none, with whether no keys at all are known and none can be had
   */
  async find(alg: string, kid: string | undefined, rejected?: VerificationKey): Promise<KeyLookup> {
    const lookUp = () => {
      const key = this.#isUnavailable() ? undefined : this.#known.find(alg, kid)
      return key === rejected ? undefined : key
    }
    const isFresh = this.#since(this.#loadedAtMs) < this.#refreshAfterMs
    const known = isFresh ? lookUp() : undefined
    if (known !== undefined) return { found: known }
    await withPatience(this.#bringUpToDate(() => lookUp() !== undefined))
    if (this.#isUnavailable()) return { found: undefined, retryAfterS: timing.retryAfterNone / 1000 }
    return { found: lookUp() }
  }

  /** Ends a load that is under way and begins no other. */
  stop(): void {
    this.#isStopped = true
    this.#ending.abort()
  }

  #isUnavailable(): boolean {
    return this.#known.size === 0 || this.#since(this.#loadedAtMs) >= timing.maxAge
  }

  /** @param isKnownNow whether the key that is looked for is there */
  async #bringUpToDate(isKnownNow: () => boolean): Promise<void> {
    const begunBefore = this.#begun
    await this.#keepFresh()
    if (!this.#isUnavailable() && !isKnownNow()) await this.#demand(begunBefore, isKnownNow)
  }

  /** Waits for a load only where the keys should not be used without one. */
  async #keepFresh(): Promise<void> {
    const age = this.#since(this.#loadedAtMs)
    const pause = this.#since(this.#endedAtMs)
    if (this.#isUnavailable()) {
      if (this.#loading !== undefined || pause >= timing.retryAfterNone) await this.#load()
      return
    }
    if (age < this.#refreshAfterMs || (this.#failures > 0 && pause < timing.retryAfterKnown)) return
    const loaded = this.#load()
    // An issuer that was away the last time is not waited for.
    if (age >= timing.waitAfter && this.#failures === 0) await loaded
  }

  /** Loads once more for a token that the known keys do not fit, unless a load that began after it came has ended. */
  async #demand(begunBefore: number, isKnownNow: () => boolean): Promise<void> {
    await this.#loading
    if (isKnownNow() || this.#ended > begunBefore) return
    if (this.#loading === undefined) {
      if (this.#since(this.#demandedAtMs) < timing.demandCooldown) return
      this.#demandedAtMs = this.#nowMs()
    }
    await this.#load()
  }

  #load(): Promise<void> {
    if (this.#isStopped) return Promise.resolve()
    this.#loading ??= this.#loadOnce().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #loadOnce(): Promise<void> {
    const number = ++this.#begun
    const startedAtMs = performance.now()
    try {
      const { keys, refused } = this.#known.replaceWith(await this.#loadDocument())
      this.#tell({
        type: 'fetched',
        keys: keys.size,
        ...this.#replaceKnown(keys),
        refused,
        durationMs: Math.round(performance.now() - startedAtMs),
        failuresBefore: this.#failures,
      })
      this.#failures = 0
      this.#loadedAtMs = this.#nowMs()
      this.#refreshAfterMs = timing.refreshAfter * (0.9 + Math.random() / 5)
    } catch (error) {
      this.#failures++
      const reason = error instanceof Error ? error.message : String(error)
      if (!this.#isStopped) {
        this.#tell({ type: 'failed', reason, failures: this.#failures, known: this.#known.size })
      }
    }
    this.#ended = number
    this.#endedAtMs = this.#nowMs()
  }

  async #loadDocument(): Promise<unknown> {
    const ending = new AbortController()
    const { promise: ended, reject } = Promise.withResolvers<never>()
    ending.signal.addEventListener('abort', () => reject(new Error('no whole answer in time')))
    const timer = setTimeout(() => ending.abort(), timing.loadTimeout).unref()
    this.#ending = ending
    try {
      return await Promise.race([this.#options.load(ending.signal), ended])
    } finally {
      clearTimeout(timer)
    }
  }

  #replaceKnown(keys: KnownKeys): { added: number; removed: number } {
    const added = this.#known.countMissing(keys)
    const removed = keys.countMissing(this.#known)
    this.#known = keys
    if (added + removed > 0) this.#generation++
    return { added, removed }
  }

  #tell(event: KeySetEvent): void {
    this.#options.onEvent?.(event)
  }

  /** A clock that was put back makes times seem to be in the future; they count as long ago. */
  #since(timeMs: number): number {
    const elapsedMs = this.#nowMs() - timeMs
    return elapsedMs < 0 ? Number.POSITIVE_INFINITY : elapsedMs
  }
}

async function withPatience(work: Promise<void>): Promise<void> {
  const { promise: tired, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timing.patience)
  await Promise.race([work, tired])
  clearTimeout(timer)
}
