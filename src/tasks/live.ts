import type { ServerResponse } from 'node:http'
import type { Database } from '../db/database.ts'
import { AppError } from '../errors.ts'
import { type ChangePage, readChanges } from './changes.ts'
import { type FeedPosition, writeCursor } from './changes-cursor.ts'
import { readChangedCounters } from './changes-store.ts'
import { EventStream, formatEvent } from './event-stream.ts'
import { Channel, LiveReader, type Log } from './live-reader.ts'

export type LiveOptions = {
  readonly database: Database
  readonly log: Log
  /** Between two comments that keep a stream from looking dead, in milliseconds. */
  readonly heartbeatMs?: number | undefined
  /** Between two questions for changes made through other instances, in milliseconds. */
  readonly pollMs?: number | undefined
  /** How long a client may take to read what was sent, in milliseconds. */
  readonly drainMs?: number | undefined
  /** Told when the first stream begins to open, and when the last one is gone. */
  readonly onOpen?: ((areOpen: boolean) => void) | undefined
  /** Most streams that are open at a time. */
  readonly maxStreams?: number | undefined
  /** Most streams of one user. */
  readonly maxStreamsOfUser?: number | undefined
}

export type OpenOptions = {
  readonly userId: string
  /** Where to go on; undefined: from now. */
  readonly position: FeedPosition | undefined
  /** When the token is no longer taken, in milliseconds since the epoch. */
  readonly tokenRefusedFromMs: number
  /** Sends the head of the answer; called when nothing can fail any more. */
  readonly begin: () => ServerResponse
}

/** Streams whose last event is not taken in this time are cut when the service stops, in milliseconds. */
const farewellMs = 2_000

/**
 * The open streams of this instance, by user. They are woken at once by what is committed here, and by asking for the
 * counters of all users who listen by what is committed elsewhere. One timer serves the heartbeats and ends of all.
 */
export class Live {
  readonly #database: Database
  readonly #log: Log
  readonly #reader: LiveReader
  readonly #heartbeatMs: number
  readonly #tickMs: number
  readonly #pollMs: number
  readonly #drainMs: number
  readonly #onOpen: LiveOptions['onOpen']
  readonly #maxStreams: number
  readonly #maxStreamsOfUser: number
  readonly #channels = new Map<string, Channel>()
  #tickTimer: NodeJS.Timeout | undefined
  #pollTimer: NodeJS.Timeout | undefined
  /** Those that are being opened, too. */
  #count = 0
  #isClosed = false
  #onEmpty: (() => void) | undefined

  constructor(options: LiveOptions) {
    const { database, log, heartbeatMs, pollMs, drainMs, onOpen, maxStreams, maxStreamsOfUser } = options
    this.#database = database
    this.#log = log
    this.#reader = new LiveReader(database, log)
    this.#heartbeatMs = heartbeatMs ?? 15_000
    this.#tickMs = Math.min(1_000, this.#heartbeatMs / 2)
    this.#pollMs = pollMs ?? 250
    this.#drainMs = drainMs ?? 15_000
    this.#onOpen = onOpen
    this.#maxStreams = maxStreams ?? 20_000
    this.#maxStreamsOfUser = maxStreamsOfUser ?? 100
  }

  /** Something of the user's was committed through this instance. Never fails. */
  wake(userId: string): void {
    const channel = this.#channels.get(userId)
    if (channel === undefined) return
    channel.generation++
    this.#reader.schedule(channel)
  }

  /**
   * Opens a stream: `ready` first, then what comes after the position; `reset` alone where that cannot be told any more.
   *
   * @throws AppError DATABASE_UNAVAILABLE, RATE_LIMITED and OVERLOADED for too many streams, before anything is sent
   */
  async open({ userId, position, tokenRefusedFromMs, begin }: OpenOptions): Promise<void> {
    this.#makeSureOfRoom(userId)
    // Before the read, so that what is committed during it is noticed.
    const channel = this.#channelOf(userId)
    channel.opening++
    this.#count++
    try {
      const { generation } = channel
      const now = await this.#look(userId, position)
      const response = begin()
      if (now === undefined) {
        response.end(formatEvent('reset'))
        return
      }
      const isLatest = channel.generation === generation
      channel.note(now.counter)
      const at = position ?? now.next
      const isDone = isLatest && at.after === now.counter
      const stream = new EventStream(response, tokenRefusedFromMs, at, isDone ? channel.generation : -1)
      this.#add(channel, stream)
      // What this look found out is news to the streams that were open before, and the next question will not bring it.
      if (channel.generation !== generation) this.#reader.schedule(channel)
    } finally {
      channel.opening--
      this.#count--
      this.#removeIfEmpty(channel)
    }
  }

  /** @throws AppError RATE_LIMITED, OVERLOADED */
  #makeSureOfRoom(userId: string): void {
    const channel = this.#channels.get(userId)
    if (channel !== undefined && channel.streams.size + channel.opening >= this.#maxStreamsOfUser)
      throw new AppError('RATE_LIMITED', { headers: { 'retry-after': '10' } })
    if (this.#count >= this.#maxStreams)
      throw new AppError('OVERLOADED', { headers: { 'retry-after': '10' } })
  }

  /** How many streams are open on this instance. */
  get openStreams(): number {
    let open = 0
    for (const { streams } of this.#channels.values()) open += streams.size
    return open
  }

  /** Tells every client to come again, and waits until they have gone; those who do not read are cut. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#reader.stop()
    clearTimeout(this.#pollTimer)
    for (const stream of this.#streams()) {
      if (stream.isReady) stream.end('reconnect')
      else stream.cut()
    }
    if (this.#channels.size > 0) {
      const timer = setTimeout(() => this.#cutAll(), farewellMs)
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve
      })
      clearTimeout(timer)
    }
    clearInterval(this.#tickTimer)
  }

  /** The counter now, if what comes after the position can be told. */
  async #look(userId: string, position: FeedPosition | undefined): Promise<ChangePage | undefined> {
    try {
      return await readChanges(this.#database.scopeFor(userId), position, 0)
    } catch (error) {
      if (error instanceof AppError && error.code === 'CURSOR_EXPIRED') return undefined
      throw error
    }
  }

  #channelOf(userId: string): Channel {
    let channel = this.#channels.get(userId)
    if (channel === undefined) {
      channel = new Channel(userId)
      this.#channels.set(userId, channel)
      if (this.#channels.size === 1) this.#onOpen?.(true)
    }
    return channel
  }

  #add(channel: Channel, stream: EventStream): void {
    // Spread, so that the heartbeats of clients that came at once do not fall together for ever.
    stream.nextHeartbeatMs = performance.now() + Math.random() * this.#heartbeatMs
    stream.listen(
      () => this.#reader.schedule(channel),
      () => {
        if (channel.streams.delete(stream)) this.#count--
        this.#removeIfEmpty(channel)
      },
    )
    if (!stream.isReady) return
    channel.streams.add(stream)
    this.#count++
    stream.send(formatEvent('ready', {}, writeCursor(channel.userId, stream.position)))
    if (this.#isClosed) {
      stream.end('reconnect')
      return
    }
    this.#tickTimer ??= setInterval(() => this.#tick(), this.#tickMs)
    this.#pollTimer ??= setTimeout(() => this.#poll(), this.#pollMs)
    if (channel.isBehind(stream)) this.#reader.schedule(channel)
  }

  #removeIfEmpty(channel: Channel): void {
    if (channel.streams.size > 0 || channel.opening > 0) return
    // The end of a stream that never began may come when its user has another channel already.
    if (this.#channels.get(channel.userId) !== channel) return
    this.#channels.delete(channel.userId)
    if (this.#channels.size > 0) return
    this.#onEmpty?.()
    this.#onOpen?.(false)
  }

  *#streams(): Iterable<EventStream> {
    for (const channel of this.#channels.values()) yield* channel.streams
  }

  #cutAll(): void {
    for (const stream of this.#streams()) stream.cut()
  }

  /** Sends heartbeats that are due, ends streams whose token has expired, cuts those that are not read. */
  #tick(): void {
    if (this.#channels.size === 0 && !this.#isClosed) {
      clearInterval(this.#tickTimer)
      this.#tickTimer = undefined
      return
    }
    const now = performance.now()
    const time = Date.now()
    for (const stream of this.#streams()) {
      if (stream.isWaiting) {
        if (stream.waitFor(this.#tickMs) < this.#drainMs) continue
        this.#log.info({}, 'stream cut off: its client does not read')
        stream.cut()
      } else if (time >= stream.tokenRefusedFromMs) {
        stream.end('token_expired')
      } else if (now >= stream.nextHeartbeatMs) {
        stream.nextHeartbeatMs = now + this.#heartbeatMs
        stream.sendHeartbeat()
      }
    }
  }

  /** Asks which of the users who listen have changes that are not known here. One question at a time. Never fails. */
  async #poll(): Promise<void> {
    const known = new Map<string, number>()
    for (const { userId, version } of this.#channels.values()) {
      if (version !== undefined) known.set(userId, version)
    }
    try {
      const changed = known.size === 0 ? [] : await readChangedCounters(this.#database.observer, known)
      for (const { user_id, version } of changed) {
        const channel = this.#channels.get(user_id)
        if (channel === undefined) continue
        channel.note(version)
        this.#reader.schedule(channel)
      }
      this.#reader.back()
    } catch (error) {
      this.#reader.away(error)
    }
    const goesOn = this.#channels.size > 0 && !this.#isClosed
    this.#pollTimer = goesOn ? setTimeout(() => this.#poll(), this.#pollMs) : undefined
  }
}
