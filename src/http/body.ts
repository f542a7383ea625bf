import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import { isDeeperThan } from '../lib/json-depth.ts'

/** Largest request body, in bytes. */
export const bodyLimitBytes = 1_048_576

/** Most levels of arrays and objects within each other; no body that is taken has more than six. */
export const maxJsonDepth = 64

const utf8Charset = /;\s*charset\s*=\s*"?utf-?8"?\s*(;|$)/i

/**
 * Reads bodies as JSON in UTF-8 and as nothing else: bytes that are not UTF-8 are refused, not replaced. An empty
 * body counts as none. `application/merge-patch+json` (RFC 7396) is for PATCH alone.
 */
export function registerBodyParser(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer', bodyLimit: bodyLimitBytes },
    async (_request: FastifyRequest, body: Buffer) => parseJson(body),
  )
  app.addContentTypeParser('*', requireNoBody)
}

/**
 * What has another type, or none. In chunks, whether there is a body at all shows only at its end.
 *
 * @throws AppError UNSUPPORTED_MEDIA_TYPE
 */
async function requireNoBody({ headers }: FastifyRequest, body: IncomingMessage): Promise<undefined> {
  const mayBeEmpty = headers['content-type'] === undefined && headers['content-length'] === undefined
  if (!mayBeEmpty || !(await isEmpty(body))) throw new AppError('UNSUPPORTED_MEDIA_TYPE')
}

async function isEmpty(body: IncomingMessage): Promise<boolean> {
  // What is left of it is for the server to drop.
  for await (const _chunk of body.iterator({ destroyOnReturn: false })) return false
  return true
}

/** What Fastify does not look at: the charset, a compressed body, and the method of a merge patch. */
export function isSupportedMediaType({ headers, method }: FastifyRequest): boolean {
  // Their bodies, which nobody should send, are not read.
  if (method === 'GET' || method === 'HEAD') return true
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return false
  const type = headers['content-type']?.toLowerCase()
  if (type === undefined) return true
  if (type.includes('charset') && !utf8Charset.test(type)) return false
  return method === 'PATCH' || !type.startsWith('application/merge-patch+json')
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined
  if (!isUtf8(body)) throw new AppError('INVALID_JSON', { details: [invalid('The body is not UTF-8.')] })
  if (isDeeperThan(body, maxJsonDepth)) {
    const message = `The body has more than ${maxJsonDepth} levels of arrays and objects.`
    throw new AppError('INVALID_JSON', { details: [{ path: '', code: 'maxDepth', message }] })
  }
  try {
    return JSON.parse(body.toString())
  } catch (error) {
    const message =
      error instanceof SyntaxError ? 'The body is not well-formed JSON.' : 'The body cannot be read.'
    throw new AppError('INVALID_JSON', { details: [invalid(message)], cause: error })
  }
}

function invalid(message: string) {
  return { path: '', code: 'json', message }
}
