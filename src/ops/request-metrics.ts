import type { FastifyReply, FastifyRequest } from 'fastify'
import { Counts, type Family, Histogram, type Sample } from './exposition.ts'

/** Upper bounds of the buckets of latency, in seconds: from one round trip to the longest that a request may take. */
const latencyBoundsS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Every path that no route has, whatever it is. */
const unmatched = 'unmatched'

/** What is refused for there is too much to do, whatever its path. */
const refused = 'refused'

/** The method is the client's to choose; one that no route has is not worth a series. */
const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** What is counted of one method and route. */
class RouteCounts {
  readonly labels: Readonly<Record<'method' | 'route', string>>
  readonly byStatus = new Counts('status')
  readonly latency = new Histogram(latencyBoundsS)
  cut = 0

  constructor(method: string, route: string) {
    this.labels = { method, route }
  }
}

/** Counts requests by what is bounded: the pattern of the route, never the path; the method, the status, the code. */
export class RequestMetrics {
  /** By route, then by method. */
  readonly #routes = new Map<string, Map<string, RouteCounts>>()
  readonly #errors = new Counts('code')
  readonly #unreadable = new Counts('status')
  #underWay = 0

  /**
   * Counts a request as under way. Never fails.
   *
   * @returns what counts it as ended, to be called once: when its answer is sent or its client has gone
   */
  begin(request: FastifyRequest, reply: FastifyReply): () => void {
    // Each look makes a new object of all options.
    const { config, url = unmatched } = request.routeOptions
    const isOpenEnded = config.openEnded === true
    const counts = this.#of(request.method, url)
    if (!isOpenEnded) this.#underWay++
    return () => {
      const { headersSent, statusCode, writableFinished } = reply.raw
      counts.byStatus.add(headersSent ? String(statusCode) : 'none')
      if (request.errorCode !== null) this.#errors.add(request.errorCode)
      if (isOpenEnded) return
      this.#underWay--
      counts.latency.observe(reply.elapsedTime / 1000)
      if (headersSent && !writableFinished) counts.cut++
    }
  }

  /** @param status what bytes were answered with that are no HTTP request */
  countUnreadable(status: number): void {
    this.#unreadable.add(String(status))
  }

  /** Counts a request that was refused, whatever it was, as there is too much to do. It must cost next to nothing. */
  countRefused(method: string): void {
    this.#of(method, refused).byStatus.add('503')
    this.#errors.add('OVERLOADED')
  }

  families(): Family[] {
    const all = [...this.#routes.values()].flatMap((byMethod) => [...byMethod.values()])
    const each = (samples: (counts: RouteCounts) => Sample[]) => all.flatMap(samples)
    return [
      {
        name: 'http_requests_total',
        help: 'Requests that have ended; the status is none where the client went before an answer began.',
        type: 'counter',
        samples: each(({ labels, byStatus }) => byStatus.samples(labels)),
      },
      {
        name: 'http_request_duration_seconds',
        help: 'From the head of the request to the last byte of the answer; without streams.',
        type: 'histogram',
        samples: each(({ labels, latency }) => latency.samples(labels)),
      },
      {
        name: 'http_requests_under_way',
        help: 'Requests that have not ended; without streams.',
        type: 'gauge',
        samples: [{ value: this.#underWay }],
      },
      {
        name: 'http_responses_cut_total',
        help: 'Answers that began and did not reach their end; without streams.',
        type: 'counter',
        samples: each(({ labels, cut }) => [{ labels, value: cut }]),
      },
      {
        name: 'http_requests_unreadable_total',
        help: 'Answers to what was no readable HTTP, or too slow, or had too large a head.',
        type: 'counter',
        samples: this.#unreadable.samples(),
      },
      {
        name: 'backend_core_errors_total',
        help: 'Requests that ended in an error, by its code in the answer.',
        type: 'counter',
        samples: this.#errors.samples(),
      },
    ]
  }

  #of(sent: string, route: string): RouteCounts {
    const method = methods.has(sent) ? sent : 'other'
    let byMethod = this.#routes.get(route)
    if (byMethod === undefined) {
      byMethod = new Map()
      this.#routes.set(route, byMethod)
    }
    let counts = byMethod.get(method)
    if (counts === undefined) {
      counts = new RouteCounts(method, route)
      byMethod.set(method, counts)
    }
    return counts
  }
}
