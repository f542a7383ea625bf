import type { Family } from '../ops/exposition.ts'
import { type ProcessFamilies, sumFamilies, withoutProcess } from '../ops/sum-families.ts'

/** How long a scrape waits for a worker, in milliseconds; then what it said last is taken. */
const answerTimeoutMs = 1_000

/**
 * The metrics of all workers, and of those that have ended: a sum of counters that went down would be taken for a restart of
 * everything.
 */
export class WorkerMetrics {
  readonly #ask: (worker: number) => boolean
  readonly #last = new Map<number, readonly Family[]>()
  readonly #waiting = new Map<number, Set<() => void>>()
  #ended: readonly Family[] = []

  /**
   * @param workers their numbers
   * @param ask asks one for its metrics; false when it is not there
   */
  constructor(workers: readonly number[], ask: (worker: number) => boolean) {
    this.#ask = ask
    for (const worker of workers) this.#waiting.set(worker, new Set())
  }

  receive(worker: number, families: readonly Family[]): void {
    this.#last.set(worker, families)
    this.#wake(worker)
  }

  /** The process of a worker has ended. */
  end(worker: number): void {
    const families = this.#last.get(worker) ?? []
    this.#last.delete(worker)
    this.#ended = sumFamilies([
      { process: '', families: this.#ended },
      { process: '', families: withoutProcess(families) },
    ])
    this.#wake(worker)
  }

  /** The metrics of the whole instance. @param own those of this process */
  async collect(own: readonly Family[]): Promise<Family[]> {
    await Promise.all(Array.from(this.#waiting.keys(), (worker) => this.#answered(worker)))
    const ofWorkers = Array.from(
      this.#last,
      ([worker, families]): ProcessFamilies => ({ process: String(worker), families }),
    )
    return sumFamilies([
      { process: 'primary', families: own },
      ...ofWorkers.toSorted((a, b) => Number(a.process) - Number(b.process)),
      { process: '', families: this.#ended },
    ])
  }

  #answered(worker: number): Promise<void> {
    if (!this.#ask(worker)) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.get(worker)?.add(resolve)
    const timer = setTimeout(resolve, answerTimeoutMs)
    return promise.finally(() => clearTimeout(timer))
  }

  #wake(worker: number): void {
    for (const wake of this.#waiting.get(worker) ?? []) wake()
    this.#waiting.get(worker)?.clear()
  }
}
