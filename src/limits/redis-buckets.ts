import { createClient, defineScript } from '@redis/client'
import type { Bucket } from './local-buckets.ts'
import type { SharedBuckets } from './rate-limiter.ts'

/** What happened to the connection. Each is told once, when it comes after the other. */
export type RedisEvent = { readonly type: 'connected' } | { readonly type: 'away'; readonly error: Error }

export type RedisBuckets = SharedBuckets & {
  /** Closes the connection at once. */
  close(): void
}

/** Longest that a request waits for an answer; then it is counted in memory, and so are all others for a while. */
const defaultAnswerTimeoutMs = 100

/** Longest that a connection may take to be made; nobody waits for it. */
const connectTimeoutMs = 2_000

/** Between two tries to connect. */
const retryMs = 500

/** Commands that wait for their answer, at most; what comes on top is counted in memory. */
const maxCommands = 10_000

const keyPrefix = 'backend-core:rate-limit:'

/**
 * One request taken out of one bucket, by the clock of Redis. KEYS[1] holds the time at which the bucket is full, and expires
 * then. ARGV: how long one request takes to become free, and all of them, in microseconds.
 */
const takeScript = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local backlog = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') - now, 0)
if backlog + interval > period then return {0, backlog} end
backlog = backlog + interval
redis.call('SET', KEYS[1], string.format('%.0f', now + backlog), 'PX', math.ceil(backlog / 1000))
return {1, backlog}
`

type Client = ReturnType<typeof createOne>

/**
 * Opens buckets in Redis 6 or later, or Valkey, for all instances that have the same address. It connects in the background,
 * again and again while it is in use. Until it is connected, and from the first failed or late answer on, `take` returns
 * undefined at once.
 *
 * @param url `redis://` or `rediss://`, with user, password and database number if need be
 * @param answerTimeoutMs how long a request waits for an answer at most; 100 when left out
 */
export function openRedisBuckets(
  url: string,
  onEvent: (event: RedisEvent) => void,
  answerTimeoutMs = defaultAnswerTimeoutMs,
): RedisBuckets {
  let client: Client | undefined
  let candidate: Client | undefined
  let nextTryMs = 0
  let told: RedisEvent['type'] | undefined
  let closed = false

  const tell = (event: RedisEvent) => {
    if (told !== event.type && !closed) onEvent(event)
    told = event.type
  }
  const drop = (lost: Client, reason: unknown) => {
    if (lost !== client && lost !== candidate) return
    if (lost === client) client = undefined
    if (lost === candidate) candidate = undefined
    nextTryMs = performance.now() + retryMs
    if (lost.isOpen) lost.destroy()
    tell({ type: 'away', error: reason instanceof Error ? reason : new Error(String(reason)) })
  }
  const connect = async () => {
    const opened = createOne(url)
    candidate = opened
    opened.on('error', (error) => drop(opened, error))
    try {
      await within(opened.connect(), connectTimeoutMs)
      if (candidate !== opened) return
      candidate = undefined
      client = opened
      tell({ type: 'connected' })
    } catch (error) {
      drop(opened, error)
    }
  }
  const ask = async (asked: Client, key: string, intervalUs: number, periodUs: number) => {
    try {
      return readAnswer(await within(asked.take(keyPrefix + key, intervalUs, periodUs), answerTimeoutMs))
    } catch (error) {
      drop(asked, error)
      return undefined
    }
  }

  void connect()
  return {
    take(key, intervalUs, periodUs) {
      if (client !== undefined) return ask(client, key, intervalUs, periodUs)
      if (candidate === undefined && !closed && performance.now() >= nextTryMs) void connect()
      return undefined
    },
    close() {
      closed = true
      const open = client ?? candidate
      if (open !== undefined) drop(open, 'closed')
    },
  }
}

function createOne(url: string) {
  return createClient({
    url,
    name: 'backend-core',
    // When to connect again is decided here: a connection that stalls must be given up as well.
    socket: { connectTimeout: connectTimeoutMs, reconnectStrategy: false },
    disableOfflineQueue: true,
    commandsQueueMaxLength: maxCommands,
    scripts: {
      take: defineScript({
        SCRIPT: takeScript,
        NUMBER_OF_KEYS: 1,
        parseCommand(parser, key: string, intervalUs: number, periodUs: number) {
          parser.pushKey(key)
          parser.push(String(intervalUs), String(periodUs))
        },
        transformReply: (reply: unknown) => reply,
      }),
    },
  })
}

function readAnswer(reply: unknown): Bucket {
  const [allowed, backlogUs]: unknown[] = Array.isArray(reply) ? reply : []
  if (typeof allowed !== 'number' || typeof backlogUs !== 'number') throw new Error('Redis gave no count')
  return { allowed: allowed === 1, backlogUs }
}

/** @throws Error when the work is not done in time; what becomes of it is no longer of interest then */
async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const giveUp = () => reject(new Error(`Redis did not answer within ${timeoutMs} ms`))
  // What has arrived while this process was busy is read first.
  const timer = setTimeout(() => setImmediate(giveUp), timeoutMs)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
