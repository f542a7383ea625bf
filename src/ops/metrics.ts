import { readFileSync } from 'node:fs'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Counts, type Family } from './exposition.ts'
import { ProcessMetrics } from './process-metrics.ts'
import { RequestMetrics } from './request-metrics.ts'

/** Numbers that other parts have, read when somebody asks. */
export type Sources = {
  readonly database: {
    readonly usage: {
      readonly inUse: number
      readonly idle: number
      readonly waiting: number
      readonly max: number
    }
    readonly roundTrips: number
  }
  readonly live: { readonly openStreams: number }
}

/** What was done about the keys of an issuer; more of the event is not looked at. */
type KeysEvent =
  | { readonly type: 'fetched'; readonly keys: number }
  | { readonly type: 'failed'; readonly known: number }

/** What a sweep did. */
type Swept = {
  readonly trash: number
  readonly deletions: number
  readonly keys: number
  readonly failures: number
  readonly end: string
}

const kindsOfRows = ['trash', 'deletions', 'keys'] as const

/**
 * All that the service tells of itself in numbers: docs/operations.md has what each means. Nothing in it names a user,
 * a token or a path that a client made up, and no label has more values than the program gives it.
 */
export class Metrics {
  readonly #requests = new RequestMetrics()
  readonly #process = new ProcessMetrics()
  readonly #keyLoads = new Counts('result', ['fetched', 'failed'])
  readonly #sweeps = new Counts('end', ['finished', 'elsewhere', 'failed'])
  readonly #sweptRows = new Counts('kind', kindsOfRows)
  readonly #build = buildInfo()
  #knownKeys = 0
  #sweepFailures = 0
  #sources: Sources | undefined

  /**
   * Counts a request as under way. Never fails.
   *
   * @returns what counts it as ended, to be called once: when its answer is sent or its client has gone
   */
  begin(request: FastifyRequest, reply: FastifyReply): () => void {
    return this.#requests.begin(request, reply)
  }

  /** @param status what bytes were answered with that are no HTTP request */
  countUnreadable(status: number): void {
    this.#requests.countUnreadable(status)
  }

  /** Counts a request that was refused before anything else of it was looked at, for there is too much to do. */
  countRefused(method: string): void {
    this.#requests.countRefused(method)
  }

  countKeysEvent(event: KeysEvent): void {
    this.#keyLoads.add(event.type)
    this.#knownKeys = event.type === 'fetched' ? event.keys : event.known
  }

  countSweep(swept: Swept): void {
    this.#sweeps.add(swept.end)
    this.#sweepFailures += swept.failures
    for (const kind of kindsOfRows) this.#sweptRows.add(kind, swept[kind])
  }

  /** From now on these are told too. */
  readFrom(sources: Sources): void {
    this.#sources = sources
  }

  /** Everything that is known here. It asks no database. */
  async families(): Promise<Family[]> {
    return [
      this.#build,
      ...this.#requests.families(),
      ...(this.#sources === undefined ? [] : partFamilies(this.#sources)),
      ...this.#keyFamilies(),
      ...this.#sweepFamilies(),
      ...(await this.#process.families()),
    ]
  }

  stop(): void {
    this.#process.stop()
  }

  #keyFamilies(): Family[] {
    return [
      {
        name: 'backend_core_jwks_loads_total',
        help: "Times that the keys of the tokens' issuer were fetched, or could not be.",
        type: 'counter',
        samples: this.#keyLoads.samples(),
      },
      {
        name: 'backend_core_jwks_keys',
        help: 'Keys of the issuer that are known; 0 without an issuer.',
        type: 'gauge',
        perProcess: true,
        samples: [{ value: this.#knownKeys }],
      },
    ]
  }

  #sweepFamilies(): Family[] {
    return [
      {
        name: 'backend_core_sweeps_total',
        help: 'Sweeps of what is due, by how they ended; elsewhere: another instance was sweeping.',
        type: 'counter',
        samples: this.#sweeps.samples(),
      },
      {
        name: 'backend_core_swept_rows_total',
        help: 'Rows that sweeps removed for good.',
        type: 'counter',
        samples: this.#sweptRows.samples(),
      },
      {
        name: 'backend_core_sweep_failures_total',
        help: 'Users of whom a sweep could not remove something; it is tried again.',
        type: 'counter',
        samples: [{ value: this.#sweepFailures }],
      },
    ]
  }
}

function partFamilies({ database, live }: Sources): Family[] {
  const { inUse, idle, waiting, max } = database.usage
  return [
    {
      name: 'backend_core_database_connections',
      help: 'Connections of the pool, those that are being made among the ones in use.',
      type: 'gauge',
      samples: [
        { labels: { state: 'in_use' }, value: inUse },
        { labels: { state: 'idle' }, value: idle },
      ],
    },
    {
      name: 'backend_core_database_connections_max',
      help: 'DATABASE_POOL_MAX.',
      type: 'gauge',
      samples: [{ value: max }],
    },
    {
      name: 'backend_core_database_waiting',
      help: 'Pieces of work that wait for a connection.',
      type: 'gauge',
      samples: [{ value: waiting }],
    },
    {
      name: 'backend_core_database_round_trips_total',
      help: 'Round trips to the database for users and for looks across them.',
      type: 'counter',
      samples: [{ value: database.roundTrips }],
    },
    {
      name: 'backend_core_streams_open',
      help: 'Open streams of changes.',
      type: 'gauge',
      samples: [{ value: live.openStreams }],
    },
  ]
}

function buildInfo(): Family {
  // The file is part of the program, and npm refuses one whose version is no text.
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return {
    name: 'backend_core_build_info',
    help: 'Always 1; its labels say what runs.',
    type: 'gauge',
    perProcess: true,
    samples: [{ labels: { version, node: process.version }, value: 1 }],
  }
}
