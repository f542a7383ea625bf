import { setTimeout as delay } from 'node:timers/promises'
import type { Account } from './account.ts'
import type { Random } from './random.ts'

export type Reply = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body, if it is JSON; tests read it as what they expect it to be. */
  // biome-ignore lint/suspicious/noExplicitAny: an assertion on any member of an answer is the point of a test
  readonly body: any
}

export type Request = {
  readonly method: string
  /** Below `/api/me`. */
  readonly path: string
  readonly json?: unknown
  readonly raw?: string
  readonly headers?: Record<string, string>
}

/** Sends one request to an instance. */
export async function exchange(
  url: string,
  token: string,
  { method, path, json, raw, headers = {} }: Request,
  signal: AbortSignal | null = null,
): Promise<Reply> {
  const response = await fetch(`${url}/api/me${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: json !== undefined ? JSON.stringify(json) : (raw ?? null),
    signal,
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text ? JSON.parse(text) : undefined,
  }
}

/**
 * How an answer may be lost. `keyed`: the request has an Idempotency-Key, so that it can be cut at any time and sent
 * again. `repeatable`: it may be sent again once the first is through. `once`: it is never lost.
 */
export type Safety = 'keyed' | 'repeatable' | 'once'

/**
 * Sends a request through one instance or another. The answer is sometimes lost on the way, and the request sent again
 * until there is one.
 *
 * @returns the first answer that arrived, and whether one was lost before it
 */
export async function exchangeUntilAnswered(
  urls: readonly [string, ...string[]],
  { token, journal }: Account,
  random: Random,
  request: Request,
  safety: Safety,
): Promise<Reply & { readonly retried: boolean }> {
  for (let retried = false; ; ) {
    const url = random.pick(urls)
    const loss = safety === 'once' || !random.chance(0.2) ? 'none' : random.pick(['dropped', 'cut'])
    const isCut = loss === 'cut' && safety === 'keyed'
    const signal = isCut ? AbortSignal.timeout(random.integer(0, 12)) : null
    const reply = await exchange(url, token, request, signal).catch((error: unknown) => {
      if (signal?.aborted) return undefined
      throw error
    })
    journal.count('requests')
    if (reply?.headers.get('idempotency-replayed') === 'true') journal.count('replays')
    const code = reply?.body?.error?.code
    if (code === 'IDEMPOTENCY_IN_PROGRESS' || code === 'OVERLOADED') {
      journal.count(code)
      await delay(5)
    } else if (reply !== undefined && (loss === 'none' || (loss === 'cut' && !isCut))) {
      return { ...reply, retried }
    } else {
      journal.count('answers lost')
    }
    retried = true
  }
}
