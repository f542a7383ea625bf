/** A value in a linked list, which it can be taken out of by this. */
export type ListNode<T> = { readonly value: T }

type Link<T> = { value: T; previous: Link<T> | undefined; next: Link<T> | undefined }

/**
 * Values in the order in which they were added, each of which can be taken out at any time, for what comes and goes with
 * every request. A Set or a Map would do the same, but V8 has the table that it grows out of point to the next one: once a
 * full collection has made one of them old, each keeps the next alive with all that was in it, up to the next full collection.
 * What was under way once is then kept as if it still were, and copied by each collection of young objects.
 * A node that is taken out points to nothing.
 */
export class LinkedList<T> implements Iterable<T> {
  #first: Link<T> | undefined
  #last: Link<T> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The value that was added first, of those that are there. */
  get first(): T | undefined {
    return this.#first?.value
  }

  /** Adds a value behind all others. */
  append(value: T): ListNode<T> {
    const link: Link<T> = { value, previous: this.#last, next: undefined }
    if (this.#last === undefined) this.#first = link
    else this.#last.next = link
    this.#last = link
    this.#size++
    return link
  }

  /**
   * Takes a value out.
   *
   * @param node that `append` of this list returned
   * @returns whether it was still there
   */
  remove(node: ListNode<T>): boolean {
    // Only append makes nodes.
    const link = node as Link<T>
    const { previous, next } = link
    if (previous === undefined && this.#first !== link) return false
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    link.previous = undefined
    link.next = undefined
    this.#size--
    return true
  }

  /** The first node whose value passes. */
  find(test: (value: T) => boolean): ListNode<T> | undefined {
    let link = this.#first
    while (link !== undefined && !test(link.value)) link = link.next
    return link
  }

  /** Takes the first value out. */
  shift(): T | undefined {
    const link = this.#first
    if (link === undefined) return undefined
    this.remove(link)
    return link.value
  }

  /** The value that is being looked at may be taken out meanwhile; others may not. */
  *[Symbol.iterator](): Iterator<T> {
    let link = this.#first
    while (link !== undefined) {
      const { next, value } = link
      yield value
      link = next
    }
  }
}
