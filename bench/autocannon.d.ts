// The part of autocannon that the benchmark uses; the package has no types of its own.
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events'

  export type Request = {
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: string
  }

  export type Client = EventEmitter & { setRequests(requests: readonly Request[]): void }

  export type Options = {
    readonly url: string
    readonly connections: number
    /** Seconds. */
    readonly duration: number
    readonly setupClient: (client: Client) => void
  }

  export type Result = { readonly errors: number; readonly timeouts: number }

  export type Instance = EventEmitter & PromiseLike<Result>

  const autocannon: (options: Options) => Instance
  export default autocannon
}
