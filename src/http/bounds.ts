/** What one server takes, of all its clients and of each. */
export type ServerBounds = {
  /** Most connections at a time. */
  readonly maxConnections: number
  /** Most bytes of a request line and its headers. */
  readonly maxHeaderBytes: number
  /** Most header fields of a request. */
  readonly maxHeaderFields: number
  /** Most requests of one connection that are not answered yet. */
  readonly maxPipelined: number
  /** What a client has to send the headers of a request, from the connection or the last answer's next byte on. */
  readonly headersTimeoutMs: number
  /** What a client has to send a body; for long ones to begin with (slow-clients.ts). */
  readonly bodyTimeoutMs: number
  /** What a client has to take an answer, to begin with. */
  readonly answerTimeoutMs: number
  /** The rate at which an import must come, and an answer be taken, after that time; in bytes a second. */
  readonly minBytesPerS: number
  /** How long a connection stays open between two requests: longer than the 60 s of most load balancers. */
  readonly idleTimeoutMs: number
  /** Most bytes of answers that are kept because their clients have not taken them. */
  readonly maxUnreadBytes: number
  /** How often connections are looked at, in milliseconds. */
  readonly checkIntervalMs: number
}

export const defaultBounds: ServerBounds = {
  maxConnections: 16_384,
  maxHeaderBytes: 16_384,
  maxHeaderFields: 100,
  maxPipelined: 64,
  headersTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  answerTimeoutMs: 30_000,
  minBytesPerS: 32_768,
  idleTimeoutMs: 72_000,
  maxUnreadBytes: 134_217_728,
  checkIntervalMs: 1_000,
}
