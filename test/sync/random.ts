/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Random {
  #state: number

  /** @param seed any text: two actors of one run have different ones */
  constructor(seed: string) {
    let state = 0x811c9dc5
    for (const each of Buffer.from(seed)) state = Math.imul(state ^ each, 0x01000193)
    this.#state = state
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number, both ends included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<const T>(choices: readonly [T, ...T[]]): T {
    return choices[this.integer(0, choices.length - 1)] ?? choices[0]
  }

  /** One of a list, or undefined of an empty one. */
  any<T>(list: readonly T[]): T | undefined {
    return list[this.integer(0, list.length - 1)]
  }

  /** A choice by weight. */
  weighted<T>(choices: readonly (readonly [weight: number, T])[]): T {
    let left = this.next() * choices.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, choice] of choices) {
      left -= weight
      if (left < 0) return choice
    }
    throw new Error('There is nothing to choose from')
  }
}
