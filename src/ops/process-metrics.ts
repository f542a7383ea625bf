import { readdir, readFile } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type Family, histogramSamples } from './exposition.ts'

type Delay = ReturnType<typeof monitorEventLoopDelay>

/** The event loop is looked at this often, in milliseconds. */
const resolutionMs = 20

/** Upper bounds of the buckets of the event loop's delay, in seconds. */
const delayBoundsS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** The process as the operating system and Node see it. Names are those that Prometheus' own clients use, where there is one. */
export class ProcessMetrics {
  readonly #delay: Delay = monitorEventLoopDelay({ resolution: resolutionMs })
  #delaySumS = 0

  constructor() {
    this.#delay.enable()
  }

  stop(): void {
    this.#delay.disable()
  }

  /** Never rejects: what the system does not tell is left out. */
  async families(): Promise<Family[]> {
    const [open, most] = await Promise.all([countOpenFiles(), readMostFiles()])
    return [...cpuAndMemory(), ...files(open, most), ...eventLoopTime(), this.#eventLoopDelay()]
  }

  /** Node counts from one look to the next; what lies over the time between two looks is the delay. */
  #eventLoopDelay(): Family {
    const { count, mean } = this.#delay
    const cumulative = delayBoundsS.map((bound) => countUpTo(this.#delay, bound * 1e9 + resolutionMs * 1e6))
    // A look may be early by a little; a sum that went down would be taken for a restart.
    if (count > 0) this.#delaySumS = Math.max(this.#delaySumS, ((mean - resolutionMs * 1e6) * count) / 1e9)
    return {
      name: 'nodejs_eventloop_delay_seconds',
      help: `By how much the event loop was late, looked at every ${resolutionMs} ms.`,
      type: 'histogram',
      perProcess: true,
      samples: histogramSamples({}, delayBoundsS, cumulative, count, this.#delaySumS),
    }
  }
}

/** How many of the values are at most so many nanoseconds: the histogram tells only the value below which a share of them is. */
function countUpTo(delay: Delay, boundNs: number): number {
  const { count } = delay
  let [low, high] = [0, count]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (delay.percentile((middle / count) * 100) <= boundNs) low = middle
    else high = middle - 1
  }
  return low
}

function cpuAndMemory(): Family[] {
  const { user, system } = process.cpuUsage()
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage()
  const cpu = 'CPU time of the process, in its own code'
  return [
    counter('process_cpu_user_seconds_total', `${cpu}.`, user / 1e6),
    counter('process_cpu_system_seconds_total', `CPU time of the process, in the system.`, system / 1e6),
    counter('process_cpu_seconds_total', `${cpu} and in the system.`, (user + system) / 1e6),
    gauge('process_resident_memory_bytes', 'Memory that the process has in RAM.', rss),
    gauge('nodejs_heap_size_total_bytes', 'The heap of JavaScript, with what is free of it.', heapTotal),
    gauge('nodejs_heap_size_used_bytes', 'What is used of the heap of JavaScript.', heapUsed),
    gauge('nodejs_external_memory_bytes', 'Buffers and the like, outside the heap.', external),
    gauge(
      'process_start_time_seconds',
      'When the process began, since the epoch.',
      performance.timeOrigin / 1000,
    ),
  ]
}

function files(open: number | undefined, most: number | undefined): Family[] {
  return [
    ...(open === undefined
      ? []
      : [gauge('process_open_fds', 'Open file descriptors, connections included.', open)]),
    ...(most === undefined
      ? []
      : [gauge('process_max_fds', 'Most file descriptors that may be open.', most)]),
  ]
}

function eventLoopTime(): Family[] {
  const { idle, active } = performance.eventLoopUtilization()
  return [
    {
      name: 'nodejs_eventloop_time_seconds_total',
      help: 'How long the event loop was busy (active) and waited (idle).',
      type: 'counter',
      perProcess: true,
      samples: [
        { labels: { state: 'active' }, value: active / 1000 },
        { labels: { state: 'idle' }, value: idle / 1000 },
      ],
    },
  ]
}

function counter(name: string, help: string, value: number): Family {
  return { name, help, type: 'counter', samples: [{ value }] }
}

function gauge(name: string, help: string, value: number): Family {
  return { name, help, type: 'gauge', perProcess: true, samples: [{ value }] }
}

/** Linux alone has /proc. */
function countOpenFiles(): Promise<number | undefined> {
  // One of them is the folder itself, while it is read.
  return readdir('/proc/self/fd').then(
    ({ length }) => length - 1,
    () => undefined,
  )
}

async function readMostFiles(): Promise<number | undefined> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? []
  return soft === undefined ? undefined : Number(soft)
}
