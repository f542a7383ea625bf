import { parseJsonObject } from '../lib/strict-json.ts'
import { JwksError } from './known-keys.ts'

const maxBytes = 256 * 1024
const mediaTypes: ReadonlySet<string> = new Set(['application/json', 'application/jwk-set+json'])

/**
 * Fetches a JWKS (RFC 7517 §5): a GET without credentials, no redirect followed, at most 256 KiB, strict JSON.
 *
 * @param url the configured address, never one that a token names
 * @param signal ends it
 * @returns the parsed document; its keys are not looked at
 * @throws JwksError that says in words for the log what came instead, and quotes nothing of it
 */
export async function fetchJwks(url: string, signal: AbortSignal): Promise<unknown> {
  const response = await request(url, signal)
  try {
    if (response.status !== 200) throw new JwksError(describeStatus(response.status))
    const [mediaType = ''] = (response.headers.get('content-type') ?? '').split(';', 1)
    if (!mediaTypes.has(mediaType.trim().toLowerCase()))
      throw new JwksError('the answer is not JSON by its type')
    const parsed = parseJsonObject(await readBody(response))
    if (!parsed.ok) throw new JwksError(`the answer is refused: ${parsed.reason}`)
    return parsed.value
  } catch (error) {
    // What is left of the answer is not waited for.
    await response.body?.cancel().catch(() => {})
    throw asJwksError(error, signal)
  }
}

async function request(url: string, signal: AbortSignal): Promise<Response> {
  try {
    // Not compressed, so that what is counted is what was sent.
    const headers = { accept: 'application/json, application/jwk-set+json', 'accept-encoding': 'identity' }
    return await fetch(url, { headers, redirect: 'manual', credentials: 'omit', signal })
  } catch (error) {
    throw asJwksError(error, signal)
  }
}

async function readBody(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new JwksError(`the answer is larger than ${maxBytes / 1024} KiB`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function describeStatus(status: number): string {
  const isRedirect = status >= 300 && status < 400
  return `the answer is ${status}${isRedirect ? ', and redirects are not followed' : ''}`
}

function asJwksError(error: unknown, signal: AbortSignal): JwksError {
  if (error instanceof JwksError) return error
  if (signal.aborted) return new JwksError('no whole answer in time')
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined
  const why = cause !== undefined && 'code' in cause ? String(cause.code) : cause?.message
  return new JwksError(`no answer: ${why ?? 'the connection failed'}`, { cause: error })
}
