import type { ServerResponse } from 'node:http'
import type { FeedPosition } from './changes-cursor.ts'

/** Most changes that a stream is given at a time. */
export const largestPage = 50

/** An event as bytes are to be sent for it, and the position after it. */
export type FeedEvent = { readonly bytes: Buffer; readonly next: FeedPosition }

/**
 * The text of a server-sent event (WHATWG HTML, 9.2.6). It always has a data line: without one, browsers drop it.
 *
 * @param id what a client sends as Last-Event-ID from here on; without one, the id before it stays
 */
export function formatEvent(event: string, data: unknown = {}, id?: string): string {
  // JSON has no line breaks of its own, so one line is enough.
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/** A connection that breaks is closed after it; there is nobody to tell. */
const ignore = () => {}

const heartbeat = Buffer.from(':\n\n')

/**
 * One open stream. It holds its position and nothing of what it is yet to send: what does not fit is read again when
 * the client has taken what was sent. Its memory is so bounded by one event and the socket's own buffer.
 */
export class EventStream {
  /** Where the client is, all that was given to the connection included. */
  position: FeedPosition
  /** The state of its channel up to which it was told everything; any other number than the channel's: it has to read. */
  seen: number
  /** How many changes it is worth reading for it at a time. */
  appetite = largestPage
  /** When to send a heartbeat, in milliseconds of the monotonic clock. */
  nextHeartbeatMs = 0
  /** When its token is no longer taken, in milliseconds since the epoch. */
  readonly tokenRefusedFromMs: number
  readonly #response: ServerResponse
  #waitedMs: number | undefined
  #isEnding = false

  constructor(response: ServerResponse, tokenRefusedFromMs: number, position: FeedPosition, seen: number) {
    this.#response = response
    this.tokenRefusedFromMs = tokenRefusedFromMs
    this.position = position
    this.seen = seen
  }

  /**
   * @param onDrain called when it can be written to again
   * @param onClose called once, when the connection or the answer has ended
   */
  listen(onDrain: () => void, onClose: () => void): void {
    this.#response.on('drain', () => {
      if (!this.#isEnding) this.#waitedMs = undefined
      onDrain()
    })
    this.#response.once('close', onClose)
    this.#response.on('error', ignore)
  }

  /** Whether it takes more now. */
  get isReady(): boolean {
    return this.#waitedMs === undefined && !this.#response.destroyed
  }

  /** Whether the client has yet to take what was sent. */
  get isWaiting(): boolean {
    return this.#waitedMs !== undefined
  }

  /**
   * Counts time that the client was given. Only time that was counted is held against it: the clock also goes on while
   * this process is stopped or busy, and hears of nothing.
   *
   * @returns how long it has been waited for, in milliseconds
   */
  waitFor(ms: number): number {
    this.#waitedMs = (this.#waitedMs ?? 0) + ms
    return this.#waitedMs
  }

  /** @returns whether more can be sent at once */
  send(bytes: Buffer | string): boolean {
    if (!this.#response.write(bytes)) this.#waitedMs ??= 0
    return this.isReady
  }

  sendHeartbeat(): void {
    this.send(heartbeat)
  }

  /**
   * Sends events for as long as the connection takes them.
   *
   * @returns whether it has sent all of them
   */
  deliver(events: readonly FeedEvent[]): boolean {
    for (const [index, { bytes, next }] of events.entries()) {
      if (!this.isReady) {
        this.appetite = Math.max(1, index)
        return false
      }
      this.send(bytes)
      this.position = next
    }
    this.appetite = Math.min(largestPage, this.appetite * 2)
    return true
  }

  /** Sends a last event, or none to a client that is behind, and ends the answer. */
  end(event: string): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#waitedMs ??= 0
    this.#response.end(formatEvent(event))
  }

  /** Cuts the connection, and with it all that was to be sent. */
  cut(): void {
    this.#response.destroy()
  }
}
