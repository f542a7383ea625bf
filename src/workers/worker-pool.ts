import cluster, { type Worker } from 'node:cluster'
import { OperatorError } from '../errors.ts'
import type { Logger } from '../ops/logging.ts'
import type { StopReason } from '../serve/run.ts'
import type { Begin, ToPrimary, ToWorker } from './messages.ts'

/** A process that lived for longer than this did not end because of its start, in milliseconds. */
const shortLifeMs = 10_000

/** Waits before a worker is replaced that has lived for a short time again, in milliseconds: doubled each time, up to the most. */
const [leastDelayMs, mostDelayMs] = [200, 5_000]

/** So many times in a row a worker may end before it listens. */
const mostFailedStarts = 5

/** What a worker may need to stop beyond the time that open requests have, in milliseconds: streams, the database. */
const stopMarginMs = 5_000

export type WorkerPoolOptions = {
  /** For each worker. */
  readonly begins: readonly Begin[]
  readonly logger: Logger
  readonly shutdownTimeoutMs: number
  /** Told of what is not about the life of the worker. */
  readonly onMessage: (worker: number, message: Exclude<ToPrimary, { type: 'listening' | 'failed' }>) => void
  /** Told of the end of each process; one that takes its place begins anew. */
  readonly onEnd: (worker: number) => void
  /** Told, when all workers had been up, that one cannot go on, and that no other in its place could. */
  readonly onFailed: (error: OperatorError) => void
}

/** One of the workers: the process that it has at the time. */
class Place {
  readonly begin: Begin
  process: Worker | undefined
  forkedAtMs = 0
  listening: { readonly address: string; readonly isReady: boolean } | undefined
  shortLives = 0
  failedStarts = 0
  timer: NodeJS.Timeout | undefined

  constructor(begin: Begin) {
    this.begin = begin
  }
}

/** The processes of the workers. One that ends is replaced; all are gone when this process is. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #places: ReadonlyMap<number, Place>
  readonly #up = Promise.withResolvers<void>()
  readonly #down = Promise.withResolvers<void>()
  #isUp = false
  #isStopping = false

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#places = new Map(options.begins.map((begin) => [begin.worker, new Place(begin)]))
  }

  /**
   * @param argument of the command line, by which a process knows that it is a worker
   * @param signal ends the wait
   * @returns once all listen, where, and whether all can serve
   * @throws OperatorError when a worker cannot begin
   */
  async start(argument: string, signal: AbortSignal): Promise<{ address: string; isReady: boolean }> {
    cluster.setupPrimary({ args: [argument] })
    process.on('exit', () => this.#killAll())
    signal.addEventListener('abort', () => this.#up.resolve())
    for (const place of this.#places.values()) this.#fork(place)
    await this.#up.promise
    this.#isUp = true
    const listening = Array.from(this.#places.values(), (place) => place.listening)
    return {
      address: listening[0]?.address ?? '',
      isReady: listening.every((each) => each?.isReady),
    }
  }

  /** @returns false when there is nobody to send it to; of one that is about to end its end is told */
  send(worker: number, message: ToWorker): boolean {
    const { process: to } = this.#places.get(worker) ?? {}
    if (!to?.isConnected()) return false
    to.send(message, () => {})
    return true
  }

  /** Has all of them stop, and waits for their ends; one that does not end in time is killed. */
  async stop(reason: StopReason): Promise<void> {
    this.#isStopping = true
    for (const { timer } of this.#places.values()) clearTimeout(timer)
    for (const worker of this.#places.keys()) this.send(worker, { type: 'stop', reason })
    const { shutdownTimeoutMs, logger } = this.#options
    const timer = setTimeout(() => {
      logger.error('workers that do not stop are killed')
      this.#killAll()
    }, shutdownTimeoutMs + stopMarginMs)
    this.#tellIfDown()
    await this.#down.promise
    clearTimeout(timer)
  }

  #fork(place: Place): void {
    const forked = cluster.fork()
    const { worker } = place.begin
    place.process = forked
    place.forkedAtMs = performance.now()
    place.listening = undefined
    let hasEnded = false
    const end = (code: number | null, signal: string | null) => {
      if (!hasEnded) this.#ended(place, forked, code, signal)
      hasEnded = true
    }
    // What comes over this channel is sent by worker.ts, which is of the same version.
    forked.on('message', (message: ToPrimary) => this.#receive(place, message))
    forked.on('exit', end)
    // Of a process that was never there no end is told.
    forked.on('error', () => {
      if (forked.process.pid === undefined) end(null, null)
    })
    this.send(worker, { type: 'begin', begin: place.begin })
    this.#options.logger.info({ worker, pid: forked.process.pid }, 'worker started')
  }

  #receive(place: Place, message: ToPrimary): void {
    if (message.type === 'failed') {
      this.#fail(new OperatorError(message.message))
    } else if (message.type === 'listening') {
      place.listening = message
      place.failedStarts = 0
      if (Array.from(this.#places.values()).every(({ listening }) => listening)) this.#up.resolve()
    } else {
      this.#options.onMessage(place.begin.worker, message)
    }
  }

  #ended(place: Place, { process: { pid } }: Worker, code: number | null, signal: string | null): void {
    const { logger, onEnd } = this.#options
    const { worker } = place.begin
    const wasListening = place.listening !== undefined
    place.process = undefined
    place.listening = undefined
    onEnd(worker)
    const ended = { worker, pid, code, signal }
    if (this.#isStopping) {
      if (wasListening && code !== 0) {
        logger.error({ ...ended }, 'worker did not stop cleanly')
        process.exitCode = 1
      }
      this.#tellIfDown()
      return
    }
    const isShort = performance.now() - place.forkedAtMs < shortLifeMs
    place.shortLives = isShort ? place.shortLives + 1 : 0
    place.failedStarts += wasListening ? 0 : 1
    const delayMs =
      place.shortLives < 2 ? 0 : Math.min(leastDelayMs * 2 ** (place.shortLives - 2), mostDelayMs)
    if (place.failedStarts < mostFailedStarts) {
      logger.error({ ...ended, delay_ms: delayMs }, 'worker ended; it is replaced')
      place.timer = setTimeout(() => this.#fork(place), delayMs)
      return
    }
    const how = signal === null ? `code ${code}` : signal
    this.#fail(
      new OperatorError(
        `Worker ${worker} ended ${mostFailedStarts} times before it listened (${how}): see the log.`,
      ),
    )
  }

  #fail(error: OperatorError): void {
    if (this.#isStopping) return
    this.#up.reject(error)
    if (this.#isUp) this.#options.onFailed(error)
  }

  #tellIfDown(): void {
    if (Array.from(this.#places.values()).every((place) => place.process === undefined)) this.#down.resolve()
  }

  #killAll(): void {
    for (const place of this.#places.values()) place.process?.process.kill('SIGKILL')
  }
}
