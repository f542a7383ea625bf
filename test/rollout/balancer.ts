import { Agent, createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http'
import { pipeline } from 'node:stream'

/** A load balancer as small as one can be: to whom it sends is told by /ready, and it never sends twice. */
export type Balancer = {
  readonly url: string
  /** Sends to this instance too, once it is ready. */
  add(url: string): void
  /** How many instances are ready. */
  readonly ready: () => number
  /** What went wrong between it and the instances. */
  readonly failures: string[]
  close(): Promise<void>
}

type Instance = { readonly url: URL; readonly agent: Agent; isReady: boolean }

/** Between two health checks, in milliseconds. */
const checkMs = 50

/** Starts a balancer that keeps its connections to the instances open. */
export async function openBalancer(): Promise<Balancer> {
  const instances = new Set<Instance>()
  const failures: string[] = []
  let turns = 0
  const server = createServer((request, response) => {
    const ready = [...instances].filter(({ isReady }) => isReady)
    const instance = ready[turns++ % ready.length]
    if (instance !== undefined) return forward(instance, request, response, failures)
    failures.push('no instance is ready')
    return response.writeHead(502).end()
  })
  const timer = setInterval(() => {
    for (const each of instances) void check(each).then((isThere) => isThere || instances.delete(each))
  }, checkMs)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The balancer has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    add: (url) =>
      instances.add({
        url: new URL(url),
        agent: new Agent({ keepAlive: true }),
        isReady: false,
      }),
    ready: () => [...instances].filter(({ isReady }) => isReady).length,
    failures,
    async close() {
      clearInterval(timer)
      for (const { agent } of instances) agent.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** @returns false when the instance has gone */
async function check(instance: Instance): Promise<boolean> {
  try {
    const response = await fetch(new URL('/ready', instance.url), { headers: { connection: 'close' } })
    await response.text()
    instance.isReady = response.status === 200
    return true
  } catch {
    instance.isReady = false
    return false
  }
}

function forward(
  { url, agent }: Instance,
  request: IncomingMessage,
  response: ServerResponse,
  failures: string[],
): void {
  const { method, url: path, headers } = request
  const fail = (error: Error & { code?: string }) => {
    failures.push(`${method} ${path}: ${error.code ?? error.message}`)
    if (response.headersSent) response.destroy()
    else response.writeHead(502).end()
  }
  // The connection on either side is that side's own affair (RFC 9110 §7.6.1).
  const { connection: _, ...passed } = headers
  const target = { hostname: url.hostname, port: url.port, method, path, headers: passed, agent }
  const outgoing = send(target, (answer) => {
    const { connection: __, 'keep-alive': ___, ...own } = answer.headers
    response.writeHead(answer.statusCode ?? 502, own)
    // Streams are long, and their first line must not wait for a second.
    response.flushHeaders()
    pipeline(answer, response, () => {})
  })
  outgoing.on('error', fail)
  response.on(
    'close',
    () =>
      response.writableFinished ||
      outgoing
        .off('error', fail)
        .on('error', () => {})
        .destroy(),
  )
  pipeline(request, outgoing, () => {})
}
