import { setTimeout as delay } from 'node:timers/promises'
import { EmbeddedPostgresError } from './error.ts'
import { type EmitEvent, stopwatch } from './event.ts'
import { type Server, stopServer } from './server.ts'
import { openOwnedSession, type Session } from './session.ts'

const SHORTEST_PAUSE_MS = 50
/** What kept it from starting, as a full disk, may be over: within 2 s it is to serve again. */
const LONGEST_PAUSE_MS = 1_000
/** A server that ran this long is started again without a pause; one that dies sooner is not started in a hurry. */
const STEADY_MS = 10_000

/**
 * Owns the running server: starts it again when it dies, and stops it at the end.
 */
export class Owner {
  readonly #server: Server
  readonly #emit: EmitEvent
  readonly #stopping = new AbortController()
  #session: Session | undefined
  #restarting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #failures = 0

  /**
   * @param session one that holds the lock
   */
  constructor(server: Server, session: Session, emit: EmitEvent) {
    this.#server = server
    this.#emit = emit
    this.#watch(session)
  }

  /**
   * Stops the server and waits for its end. Further calls give the same promise.
   * @throws {EmbeddedPostgresError} it does not stop in time
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    const elapsed = stopwatch()
    this.#stopping.abort()
    await this.#restarting
    const session = this.#session
    if (session === undefined) return
    // The lock is held until the server is gone, so that nobody takes over one that is stopping.
    await stopServer(this.#server, session.pid).finally(() => session.client.end())
    this.#emit({
      type: 'stopped',
      directory: this.#server.directory,
      pid: session.pid,
      durationMs: elapsed(),
    })
  }

  #watch(session: Session): void {
    this.#session = session
    const runtime = stopwatch()
    void session.ended.then((reason) => {
      if (this.#stopping.signal.aborted) return
      this.#session = undefined
      if (runtime() > STEADY_MS) this.#failures = 0
      this.#emit({ type: 'exited', directory: this.#server.directory, pid: session.pid, reason })
      this.#restarting = this.#restart()
    })
  }

  async #restart(): Promise<void> {
    const { directory } = this.#server
    const elapsed = stopwatch()
    for (let attempts = 1; ; attempts++) {
      await this.#pause()
      if (this.#stopping.signal.aborted) return
      try {
        const session = await this.#reopen()
        this.#emit({ type: 'restarted', directory, pid: session.pid, attempts, durationMs: elapsed() })
        return
      } catch (cause) {
        const error = cause instanceof Error ? cause : new Error(String(cause))
        this.#emit({ type: 'restart-failed', directory, error, retryInMs: this.#pauseMs() })
      }
    }
  }

  async #reopen(): Promise<Session> {
    const { session, owner } = await openOwnedSession(this.#server, this.#emit)
    if (owner !== undefined) {
      await session.client.end()
      throw new EmbeddedPostgresError(
        `Process ${owner} has taken over the server of ${this.#server.directory} meanwhile.`,
      )
    }
    this.#watch(session)
    return session
  }

  async #pause(): Promise<void> {
    const pauseMs = this.#pauseMs()
    this.#failures++
    await delay(pauseMs, undefined, { signal: this.#stopping.signal }).catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) throw error
    })
  }

  #pauseMs(): number {
    return this.#failures === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** this.#failures)
  }
}
