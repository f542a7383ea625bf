import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { canonicalJson } from './canonical-json.ts'

/**
 * What makes two requests the same one: method, path, query, If-Match and body, by SHA-256 in base64url. The path is the
 * one that was matched, decoded, so that `me`, the id and the encoded id are the same. The body counts as the JSON value
 * that it means and not as bytes: a client that builds its retry anew may order members or escape characters in another
 * way. It counts as it was sent: whoever calls this does so before validation trims text.
 */
export function fingerprintOf(request: FastifyRequest): string {
  const { method, query, headers, body, userId } = request
  const content = body === undefined ? [] : [body]
  const parts = [method, pathOf(request, userId), query, headers['if-match'] ?? null, ...content]
  return hash('sha256', canonicalJson(parts), 'base64url')
}

function pathOf({ routeOptions, params }: FastifyRequest, userId: string): string {
  // The parameters that the router found: text by name.
  const values: Readonly<Record<string, string>> = { ...(params as Record<string, string>), user_id: userId }
  const pattern = routeOptions.url ?? ''
  return pattern.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(values[name] ?? ''))
}
