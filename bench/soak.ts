import { randomUUID } from 'node:crypto'
import { Agent, get, type IncomingMessage, request as send } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { signToken } from '../src/cli/sign-token.ts'
import { benchSecret, onStage } from './processes.ts'

// Whether the service's memory stays flat under a mixed load: node bench/soak.ts [MINUTES] [REQUESTS_PER_SECOND]
// Lists, reads, writes, batches, exports and imports, streams that come and go, and clients that send nonsense or leave.
// Each user has a bounded number of tasks, so that what grows is the service's.

const minutes = Number(process.argv[2] ?? 10)
const perSecond = Number(process.argv[3] ?? 150)
const sampleMs = 10_000
const users = 50
const tasksOfUser = 40
const streams = 100

/** Memory may go up by so much from the second quarter of the samples to the last, in parts of itself. */
const mostGrowth = 0.1

type Sample = { readonly rss: number; readonly heapUsed: number; readonly external: number }
type User = { readonly token: string; readonly ids: string[]; cursor: string }

const counts = new Map<string, number>()
const agent = new Agent({ keepAlive: true, maxSockets: 32 })

function count(what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1)
}

function pick<T>(choices: readonly T[]): T | undefined {
  return choices[Math.floor(Math.random() * choices.length)]
}

async function ask(url: URL, { token }: User, method: string, path: string, body?: string, type?: string) {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body !== undefined && { 'content-type': type ?? 'application/json' }),
    ...(method === 'POST' && type === undefined && { 'idempotency-key': randomUUID() }),
  }
  const outgoing = send(new URL(path, url), { method, headers, agent }, resolve)
  outgoing.on('error', reject).end(body)
  const answer = await promise
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  // A user may have two transfers under way, and the mix can begin a third.
  const isOneTooMany = /(export|import)$/.test(path) && text.includes('"OVERLOADED"')
  count(isOneTooMany ? 'transfers put off' : `${answer.statusCode}`)
  return { status: answer.statusCode ?? 0, text }
}

/** One request of the mix. */
async function act(url: URL, user: User): Promise<void> {
  const id = pick(user.ids)
  const kind = Math.random()
  if (id === undefined || (kind < 0.2 && user.ids.length < tasksOfUser)) {
    const body = JSON.stringify({ title: `Task ${randomUUID()}`, description: 'x'.repeat(300) })
    const { status, text } = await ask(url, user, 'POST', '/api/me/tasks', body)
    if (status === 201) user.ids.push(JSON.parse(text).data.id)
  } else if (kind < 0.3) {
    user.ids.splice(user.ids.indexOf(id), 1)
    await ask(url, user, 'DELETE', `/api/me/tasks/${id}`)
    if (Math.random() < 0.2) await ask(url, user, 'DELETE', '/api/me/trash')
  } else if (kind < 0.5) {
    await ask(url, user, 'PATCH', `/api/me/tasks/${id}`, JSON.stringify({ title: `Changed ${randomUUID()}` }))
  } else if (kind < 0.65) await ask(url, user, 'GET', `/api/me/tasks/${id}`)
  else if (kind < 0.8) await ask(url, user, 'GET', '/api/me/tasks?limit=20&sort=title&q=a&count=true')
  else if (kind < 0.88) {
    const { text } = await ask(url, user, 'GET', `/api/me/changes?limit=50${user.cursor}`)
    const cursor = JSON.parse(text).meta.next_cursor
    user.cursor = cursor === undefined ? '' : `&since=${cursor}`
  } else if (kind < 0.92) {
    const operations = user.ids
      .slice(0, 5)
      .map((each) => ({ op: 'update', id: each, changes: { completed: true } }))
    await ask(url, user, 'POST', '/api/me/tasks/batch', JSON.stringify({ mode: 'independent', operations }))
  } else if (kind < 0.94) {
    const { status, text } = await ask(url, user, 'GET', '/api/me/export')
    if (status === 200 && text !== '')
      await ask(url, user, 'POST', '/api/me/import', text, 'application/x-ndjson')
  } else if (kind < 0.97) await ask(url, user, 'POST', '/api/me/tasks', '{"title":')
  else await ask(url, { ...user, token: `${user.token}x` }, 'GET', '/api/me/tasks')
}

/** Keeps a stream open for some seconds, then leaves without a word; again until the end. */
async function stream(url: URL, { token }: User, until: number): Promise<void> {
  while (Date.now() < until) {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const headers = { authorization: `Bearer ${token}` }
    get(new URL('/api/me/changes/stream', url), { headers, agent: false }, resolve).on('error', reject)
    const answer = await promise
    answer.on('error', () => {}).resume()
    count('streams')
    await delay(Math.min(1_000 + Math.random() * 20_000, Math.max(until - Date.now(), 0)))
    answer.destroy()
  }
}

function mean(samples: readonly Sample[], key: keyof Sample): number {
  return samples.reduce((sum, each) => sum + each[key], 0) / samples.length / 1e6
}

/** @returns whether memory is flat: the last quarter against the second, when everything has been loaded and filled */
function judge(samples: readonly Sample[]): boolean {
  const quarter = Math.max(1, Math.floor(samples.length / 4))
  const [before, after] = [samples.slice(quarter, 2 * quarter), samples.slice(-quarter)]
  const verdicts = (['rss', 'heapUsed', 'external'] as const).map((key) => {
    const [was, is] = [mean(before, key), mean(after, key)]
    const first = (samples[0]?.[key] ?? 0) / 1e6
    const last = (samples.at(-1)?.[key] ?? 0) / 1e6
    say(
      `${key}: first ${first.toFixed(1)} MB, last ${last.toFixed(1)} MB; mean of the second quarter ${was.toFixed(1)} MB, of the last ${is.toFixed(1)} MB`,
    )
    // A few MB either way are the collector's, whatever the share.
    return is - was <= Math.max(was * mostGrowth, 5)
  })
  return verdicts.every(Boolean)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

await onStage(async (stage) => {
  // Its users ask more often than people do.
  const unlimited = { RATE_LIMIT_PER_MINUTE: '0' }
  const service = await stage.startService(await stage.startPostgres(), unlimited, { isProbed: true })
  const url = new URL(service.url)
  const until = Date.now() + minutes * 60_000
  const everybody = Array.from({ length: users }, (_, at): User => {
    return { token: signToken({ secret: benchSecret, userId: `soak-${at}` }), ids: [], cursor: '' }
  })
  const someone = () => everybody[Math.floor(Math.random() * users)] ?? { token: '', ids: [], cursor: '' }
  const workers = 16
  const samples: Sample[] = []
  const work = Array.from({ length: workers }, async () => {
    while (Date.now() < until) {
      const start = performance.now()
      await act(url, someone()).catch((error: Error) => count(error.message))
      await delay(Math.max(0, (1_000 * workers) / perSecond - (performance.now() - start)))
    }
  })
  const listening = Array.from({ length: streams }, () =>
    stream(url, someone(), until).catch((error: Error) => count(error.message)),
  )
  while (Date.now() < until) {
    await delay(Math.min(sampleMs, Math.max(until - Date.now(), 0)))
    const taken = await service.memory()
    samples.push(taken)
    const at = ((samples.length * sampleMs) / 1_000).toFixed(0)
    say(
      `${at} s: ${(taken.rss / 1e6).toFixed(0)} MB resident, ${(taken.heapUsed / 1e6).toFixed(1)} MB of heap in use`,
    )
  }
  await Promise.all([...work, ...listening])
  say(
    [...counts]
      .sort()
      .map(([what, times]) => `${times} × ${what}`)
      .join(', '),
  )
  const isFlat = judge(samples)
  const failed = [...counts.keys()].filter((what) => !/^([234]\d\d|streams|transfers put off)$/.test(what))
  say(
    `memory is ${isFlat ? 'flat' : 'NOT flat'}; ${failed.length === 0 ? 'nothing failed' : `failed: ${failed.join(', ')}`}`,
  )
  if (!isFlat || failed.length > 0) process.exitCode = 1
  agent.destroy()
})
