/** What happened to the embedded PostgreSQL, for the log. Durations in milliseconds, directories absolute. */
export type EmbeddedPostgresEvent =
  /** A new data folder was made. */
  | { readonly type: 'initialised'; readonly directory: string; readonly durationMs: number }
  /** The server's user cannot reach `link`, so the data is in `directory` and `link` points to it. */
  | { readonly type: 'moved'; readonly link: string; readonly directory: string; readonly user: string }
  /** The server's user cannot reach the npm package, so its programs were copied. */
  | { readonly type: 'binaries-copied'; readonly directory: string; readonly durationMs: number }
  /** What an interrupted first start had left was removed. */
  | { readonly type: 'leftover-removed'; readonly directory: string }
  /** postmaster.pid named a living process that is not this server (after a power loss); it no longer does. */
  | { readonly type: 'stale-pid-corrected'; readonly directory: string; readonly pid: number }
  | {
      readonly type: 'started'
      readonly directory: string
      readonly pid: number
      readonly durationMs: number
    }
  /** A server that a killed process had left running was taken over. */
  | { readonly type: 'reused'; readonly directory: string; readonly pid: number }
  /** That server ran with other settings, and was stopped to be started anew. */
  | { readonly type: 'settings-changed'; readonly directory: string; readonly pid: number }
  /** A server that another process owns is used beside it. */
  | { readonly type: 'joined'; readonly directory: string; readonly pid: number; readonly ownerPid: number }
  /** The connection that holds the folder broke: the server was killed or crashed. */
  | { readonly type: 'exited'; readonly directory: string; readonly pid: number; readonly reason: string }
  | {
      readonly type: 'restart-failed'
      readonly directory: string
      readonly error: Error
      readonly retryInMs: number
    }
  | {
      readonly type: 'restarted'
      readonly directory: string
      readonly pid: number
      readonly attempts: number
      readonly durationMs: number
    }
  | {
      readonly type: 'stopped'
      readonly directory: string
      readonly pid: number
      readonly durationMs: number
    }

/** Takes the events; must not throw. */
export type EmitEvent = (event: EmbeddedPostgresEvent) => void

/** Measures a span on the monotonic clock. @returns a function that gives the whole milliseconds since the call */
export function stopwatch(): () => number {
  const from = performance.now()
  return () => Math.round(performance.now() - from)
}
