import { Agent, type IncomingMessage, request as send } from 'node:http'
import type { FuzzRequest } from './requests.ts'

export type FuzzAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Far more than any answer takes, on any machine: what has not come by then never will. */
const hangMs = 60_000

const agent = new Agent({ keepAlive: true, maxSockets: 16 })

export function closeConnections(): void {
  agent.destroy()
}

/**
 * Sends a request and reads the answer; of a stream that stays open, what is there with its first event.
 *
 * @throws Error when the connection breaks or nothing comes
 */
export function exchange(
  url: string,
  { method, path, headers, body, inChunks }: FuzzRequest,
): Promise<FuzzAnswer> {
  const { hostname, port } = new URL(url)
  const { promise, resolve, reject } = Promise.withResolvers<FuzzAnswer>()
  // Where Node is given a list of headers, it adds none that say where the body ends.
  const framing =
    body !== undefined && inChunks
      ? ['Transfer-Encoding', 'chunked']
      : body !== undefined || !/^(GET|HEAD|DELETE)$/.test(method)
        ? ['Content-Length', String(body?.length ?? 0)]
        : []
  const outgoing = send({
    hostname,
    port,
    method,
    path,
    agent,
    headers: ['Host', `${hostname}:${port}`, ...headers, ...framing],
    timeout: hangMs,
  })
  outgoing.on('timeout', () => outgoing.destroy(new Error(`Nothing came for ${hangMs} ms`)))
  outgoing.on('error', reject)
  outgoing.on('upgrade', () => reject(new Error('The service switched protocols')))
  outgoing.on('response', (answer) => read(answer).then(resolve, reject))
  outgoing.end(body)
  return promise
}

async function read(answer: IncomingMessage): Promise<FuzzAnswer> {
  const { statusCode = 0, headers } = answer
  const isStream = headers['content-type']?.startsWith('text/event-stream') ?? false
  const chunks: Buffer[] = []
  for await (const chunk of answer) {
    chunks.push(chunk)
    if (isStream && Buffer.concat(chunks).includes('\n\n')) break
  }
  // Leaving a stream early closes its connection.
  return { status: statusCode, headers, text: Buffer.concat(chunks).toString() }
}
