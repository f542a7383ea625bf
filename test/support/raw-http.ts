import { connect } from 'node:net'
import type { Answer } from './app.ts'

type RawOptions = {
  /** What the client does after its last byte: waits, ends its side of the connection, or cuts the whole of it. */
  readonly afterwards?: 'wait' | 'half-close' | 'cut'
}

/**
 * Sends bytes as they are over a connection of their own, and returns the answers that came until it was closed. What
 * asks for no close (`Connection: close`) must be closed by the service for another reason.
 */
export function sendRaw(
  url: string,
  bytes: string | Uint8Array,
  options: RawOptions = {},
): Promise<Answer[]> {
  const { hostname, port } = new URL(url)
  const { promise, resolve, reject } = Promise.withResolvers<Answer[]>()
  const chunks: Buffer[] = []
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  socket.setTimeout(15_000, () => socket.destroy(new Error('The service neither answered nor closed')))
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('end', () => socket.end())
  socket.on('error', (error: Error & { code?: string }) => {
    // The service may close while bytes are still on their way.
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error)
  })
  socket.on('close', () => {
    try {
      resolve(parseAnswers(Buffer.concat(chunks)))
    } catch (error) {
      reject(error)
    }
  })
  socket.write(bytes, () => {
    if (options.afterwards === 'half-close') socket.end()
    if (options.afterwards === 'cut') socket.destroy()
  })
  return promise
}

/** Sends one request, given as its line and headers, and returns the one answer to it. */
export async function sendRequest(
  url: string,
  lines: readonly string[],
  body: string | Uint8Array = '',
): Promise<Answer> {
  const answers = await sendRaw(url, requestBytes([...lines, 'Host: test', 'Connection: close'], body))
  const [answer] = answers
  if (answer === undefined || answers.length > 1)
    throw new Error(`${answers.length} answers came to one request`)
  return answer
}

/** A request as bytes: its line and headers joined by CRLF, an empty line, the body. */
export function requestBytes(lines: readonly string[], body: string | Uint8Array = ''): Buffer {
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)])
}

function parseAnswers(received: Buffer): Answer[] {
  const answers: Answer[] = []
  let rest = received
  while (rest.length > 0) {
    const headEnd = rest.indexOf('\r\n\r\n')
    const [statusLine = '', ...fields] = rest
      .subarray(0, Math.max(headEnd, 0))
      .toString('latin1')
      .split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1])
    if (!(status >= 100)) throw new Error(`Not an HTTP answer: ${rest.toString('latin1').slice(0, 200)}`)
    const headers = new Headers(
      fields.map((each): [string, string] => {
        const colon = each.indexOf(':')
        return [each.slice(0, colon), each.slice(colon + 1).trim()]
      }),
    )
    const { content, end } = readContent(rest.subarray(headEnd + 4), status, headers)
    const text = content.toString()
    const isJson = headers.get('content-type')?.startsWith('application/json') ?? false
    answers.push({ status, headers, text, body: isJson && text ? JSON.parse(text) : undefined })
    rest = rest.subarray(headEnd + 4 + end)
  }
  return answers
}

function readContent(rest: Buffer, status: number, headers: Headers): { content: Buffer; end: number } {
  if (status < 200) return { content: Buffer.alloc(0), end: 0 }
  if (headers.get('transfer-encoding') !== 'chunked') {
    const length = Number(headers.get('content-length') ?? 0)
    return { content: rest.subarray(0, length), end: length }
  }
  const chunks: Buffer[] = []
  let position = 0
  for (;;) {
    const lineEnd = rest.indexOf('\r\n', position)
    const length = Number.parseInt(rest.subarray(position, lineEnd).toString('latin1'), 16)
    const start = lineEnd + 2
    chunks.push(rest.subarray(start, start + length))
    position = start + length + 2
    if (!(length > 0)) return { content: Buffer.concat(chunks), end: position }
  }
}
