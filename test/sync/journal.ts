/** What went wrong: what a replica holds or was sent, what an answer says, what the server holds at rest. */
export type Failure = {
  readonly kind: 'replica' | 'feed' | 'answer' | 'state'
  readonly user: string
  readonly text: string
}

/** The record of one run: what was done in which order, how often, and what was found to be wrong. */
export class Journal {
  readonly failures: Failure[] = []
  readonly figures = new Map<string, number>()
  readonly #lines: { readonly user: string; readonly text: string }[] = []
  #tick = 0

  /** The next moment: whatever has a greater one happened later in this process. */
  tick(): number {
    return ++this.#tick
  }

  note(user: string, text: string): void {
    this.#lines.push({ user, text: `${this.tick()} ${text}` })
  }

  count(what: string, times = 1): void {
    this.figures.set(what, (this.figures.get(what) ?? 0) + times)
  }

  fail(kind: Failure['kind'], user: string, text: string): void {
    this.failures.push({ kind, user, text })
    this.note(user, `FAILED (${kind}) ${text}`)
  }

  /** The failures, then everything that was done for the users whom they concern, in order. */
  report(): string {
    const users = new Set(this.failures.map(({ user }) => user))
    const failures = this.failures.map(({ kind, user, text }) => `${kind}: user ${user}: ${text}`)
    const lines = this.#lines.filter(({ user }) => users.has(user)).map(({ user, text }) => `${user} ${text}`)
    return [...failures, '', 'What was done:', ...lines].join('\n')
  }
}
