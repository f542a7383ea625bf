import { get, type IncomingMessage } from 'node:http'
import { after } from 'node:test'
import type { Change } from '../../src/tasks/changes.ts'
import { eventually } from './process.ts'

/** An event as a browser hands it on: with the last id that the stream has given. */
export type ServerEvent = { readonly event: string; readonly data: string; readonly id: string }

type OpenOptions = {
  readonly since?: string
  readonly lastEventId?: string
}

/**
 * A client of a stream that reads it as browsers do (WHATWG HTML, 9.2.6): an event without data is dropped, an id stays
 * until another comes.
 */
export class EventSource {
  readonly status: number
  readonly headers: Headers
  readonly events: ServerEvent[] = []
  comments = 0
  lastEventId = ''
  hasEnded = false
  readonly #response: IncomingMessage
  #text = ''

  private constructor(response: IncomingMessage) {
    this.status = response.statusCode ?? 0
    this.headers = new Headers(Object.entries(response.headers).map(([name, value]) => [name, String(value)]))
    this.#response = response
    after(() => this.close())
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => this.#read(chunk))
    response.on('error', () => {})
    response.on('close', () => {
      this.hasEnded = true
    })
  }

  static open(url: string, token: string, options: OpenOptions = {}): Promise<EventSource> {
    const { since, lastEventId } = options
    const query = since === undefined ? '' : `?since=${since}`
    const headers = {
      authorization: `Bearer ${token}`,
      ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
    }
    const { promise, resolve, reject } = Promise.withResolvers<EventSource>()
    // A connection of its own: fetch opens another one in the place of each that is cut.
    get(`${url}/api/me/changes/stream${query}`, { agent: false, headers }, (response) =>
      resolve(new EventSource(response)),
    ).on('error', reject)
    return promise
  }

  /** The changes so far. */
  get changes(): Change[] {
    return this.events.filter(({ event }) => event === 'change').map(({ data }) => JSON.parse(data))
  }

  /** The names of the events so far. */
  get names(): string[] {
    return this.events.map(({ event }) => event)
  }

  /** Waits for so many events. */
  async received(count: number): Promise<ServerEvent[]> {
    await eventually(async () => this.events.length >= count)
    return this.events
  }

  async ended(): Promise<void> {
    await eventually(async () => this.hasEnded)
  }

  /** Cuts the connection. */
  close(): void {
    this.#response.destroy()
  }

  #read(chunk: string): void {
    const blocks = `${this.#text}${chunk}`.split('\n\n')
    this.#text = blocks.pop() ?? ''
    for (const block of blocks) this.#dispatch(block.split('\n'))
  }

  #dispatch(lines: readonly string[]): void {
    let event = 'message'
    const data: string[] = []
    for (const line of lines) {
      const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? []
      if (line.startsWith(':')) this.comments++
      else if (field === 'event') event = value
      else if (field === 'data') data.push(value)
      else if (field === 'id') this.lastEventId = value
    }
    if (data.length > 0) this.events.push({ event, data: data.join('\n'), id: this.lastEventId })
  }
}
