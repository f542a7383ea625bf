/**
 * For each key, when its bucket will be full again. A key that is not known has a full bucket.
 *
 * Two generations: every key that is written goes into the young one; when that has lived for the time in which any
 * bucket fills up, or is at its capacity, it becomes the old one, and what was old is dropped. So what is dropped for its age
 * was full anyway, the memory is bounded however many keys come, and there is no timer and no sweep.
 */
export class BucketStore {
  readonly #generationSize: number
  readonly #generationUs: number
  #young = new Map<string, number>()
  #old = new Map<string, number>()
  #turnedAtUs = 0

  /**
   * @param capacity the most keys that are kept, 2 at least
   * @param generationUs after how many microseconds without a write every bucket is full
   */
  constructor(capacity: number, generationUs: number) {
    this.#generationSize = Math.floor(capacity / 2)
    this.#generationUs = generationUs
  }

  /** The number of keys kept. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  /** When the key's bucket is full, in microseconds; 0 when it is not known. */
  get(key: string): number {
    return this.#young.get(key) ?? this.#old.get(key) ?? 0
  }

  /**
   * @param fullAtUs when the bucket is full again, in microseconds
   * @param nowUs the time by the same clock
   */
  set(key: string, fullAtUs: number, nowUs: number): void {
    const isFull = this.#young.size >= this.#generationSize && !this.#young.has(key)
    if (isFull || nowUs - this.#turnedAtUs >= this.#generationUs) {
      this.#old = this.#young
      this.#young = new Map()
      this.#turnedAtUs = nowUs
    }
    this.#young.set(key, fullAtUs)
  }
}
