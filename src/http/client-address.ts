import type { FastifyRequest } from 'fastify'
import { readIpAddress } from '../lib/ip-address.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The IP address that the request came from, or a word in place of one. */
    clientAddress: string
  }
}

/**
 * Whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are believed: that many proxies, counted from this service,
 * or those that have one of these addresses (IP, CIDR or a name of @fastify/proxy-addr such as `loopback`); undefined:
 * nobody's.
 */
export type TrustProxy = number | readonly string[] | undefined

/** TrustProxy as Fastify takes it, which leaves the check of a plain number to its caller. */
export function trustProxyOption(
  trust: TrustProxy,
): string[] | false | ((address: string, hop: number) => boolean) {
  if (trust === undefined) return false
  return typeof trust === 'number' ? (_address, hop) => hop < trust : [...trust]
}

/**
 * The address of the client: that of the connection, or the one that trusted proxies name. Where they name something that
 * is no address, it is that of the connection.
 */
export function findClientAddress(request: FastifyRequest): string {
  return readIpAddress(request.ip ?? '') ?? readIpAddress(request.socket.remoteAddress ?? '') ?? 'unknown'
}
