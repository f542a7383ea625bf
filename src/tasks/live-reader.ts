import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Database } from '../db/database.ts'
import { AppError } from '../errors.ts'
import { type ChangePage, readChanges } from './changes.ts'
import { writeCursor } from './changes-cursor.ts'
import { type EventStream, type FeedEvent, formatEvent } from './event-stream.ts'

/** The log that this part writes to. */
export type Log = {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** How many reads for streams run at a time: they leave the other connections of the pool to requests. */
const readsAtATime = 2

/** After so many streams others get their turn, so that a user with very many of them holds up nobody. */
const streamsAtATime = 200

/** The streams of one user. */
export class Channel {
  readonly userId: string
  /** In the order in which they were last read for. */
  readonly streams = new Set<EventStream>()
  /** How many are being opened. */
  opening = 0
  /** The last known number of the user's last change. */
  version: number | undefined
  /** Moves on whenever there may be something that a stream was not told. */
  generation = 0
  isReading = false

  constructor(userId: string) {
    this.userId = userId
  }

  /** Takes down the user's counter: at another number than before, every stream has to read. */
  note(version: number): void {
    if (version === this.version) return
    this.version = version
    this.generation++
  }

  isBehind(stream: EventStream): boolean {
    return stream.seen !== this.generation && stream.isReady
  }

  /** The stream that has waited longest, with all that are at the same place: one read serves them. */
  nextGroup(): EventStream[] {
    const group: EventStream[] = []
    for (const stream of this.streams) {
      if (!this.isBehind(stream)) continue
      const { after, start } = group[0]?.position ?? stream.position
      if (stream.position.after === after && stream.position.start === start) group.push(stream)
    }
    return group
  }
}

/**
 * Reads changes for streams: a page at a time for all streams of a user that are at the same place, one read at a time
 * for a user, few at a time for all. Between reads a stream costs no connection.
 */
export class LiveReader {
  readonly #database: Database
  readonly #log: Log
  readonly #due = new Set<Channel>()
  /** To be read for when the database is back. */
  readonly #later = new Set<Channel>()
  #working = 0
  #isAway = false
  #isStopped = false

  constructor(database: Database, log: Log) {
    this.#database = database
    this.#log = log
  }

  /** Reads for the streams of a channel that are behind, soon. */
  schedule(channel: Channel): void {
    if (channel.isReading || this.#isStopped) return
    this.#due.add(channel)
    if (this.#working < readsAtATime) void this.#work()
  }

  /** The database does not answer: what is due waits until `back`. */
  away(err: unknown): void {
    if (this.#isAway || this.#isStopped) return
    this.#isAway = true
    this.#log.warn({ err }, 'changes for streams cannot be read; trying on')
  }

  /** The database answers. */
  back(): void {
    if (!this.#isAway) return
    this.#isAway = false
    this.#log.info({}, 'changes for streams can be read again')
    const later = [...this.#later]
    this.#later.clear()
    for (const channel of later) this.schedule(channel)
  }

  stop(): void {
    this.#isStopped = true
    this.#due.clear()
    this.#later.clear()
  }

  async #work(): Promise<void> {
    this.#working++
    // What is added meanwhile comes last.
    for (const channel of this.#due) {
      this.#due.delete(channel)
      if (this.#isAway) {
        this.#later.add(channel)
        continue
      }
      channel.isReading = true
      await this.#serve(channel)
      channel.isReading = false
      // Even where others wait: it goes to the end.
      if (channel.nextGroup().length > 0) this.schedule(channel)
    }
    this.#working--
  }

  /** Reads a page for one group of streams and gives it to them. Never fails. */
  async #serve(channel: Channel): Promise<void> {
    const group = channel.nextGroup()
    const [first] = group
    if (first === undefined) return
    const { generation } = channel
    try {
      const limit = Math.max(...group.map(({ appetite }) => appetite))
      const page = await readChanges(
        this.#database.scopeFor(channel.userId, 'service'),
        first.position,
        limit,
      )
      // A wake-up that came during the read may be for a change after its snapshot.
      const isLatest = channel.generation === generation
      channel.note(page.counter)
      await deliver(channel, group, page, isLatest ? channel.generation : generation)
    } catch (error) {
      this.#fail(channel, group, error)
    }
  }

  #fail(channel: Channel, group: readonly EventStream[], error: unknown): void {
    const code = error instanceof AppError ? error.code : undefined
    if (code === 'CURSOR_EXPIRED') {
      for (const stream of group) stream.end('reset')
    } else if (code === 'DATABASE_UNAVAILABLE') {
      this.away(error)
      this.#later.add(channel)
    } else {
      // A defect. The clients come again, at their own pace.
      this.#log.error({ err: error, user_id: channel.userId }, 'streams cut off')
      for (const stream of group) stream.cut()
    }
  }
}

/** Gives a page to streams, which are told everything up to `generation` then, if it was the last page. */
async function deliver(
  channel: Channel,
  group: readonly EventStream[],
  page: ChangePage,
  generation: number,
): Promise<void> {
  const events: FeedEvent[] = page.changes.map(({ change, next }) => ({
    bytes: Buffer.from(formatEvent('change', change, writeCursor(channel.userId, next))),
    next,
  }))
  for (const [index, stream] of group.entries()) {
    if (index > 0 && index % streamsAtATime === 0) await nextTurn()
    if (!channel.streams.delete(stream)) continue
    channel.streams.add(stream)
    if (!stream.deliver(events)) continue
    stream.position = page.next
    if (!page.hasMore) stream.seen = generation
  }
}
