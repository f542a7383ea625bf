import { isIP, isIPv4 } from 'node:net'

/** What a proxy may write around an address: `[v6]:port`, `[v6]`, `v4:port`, `v6%zone`. */
const decorated = /^\[([^\]]+)\](?::\d+)?$|^(\d+\.\d+\.\d+\.\d+):\d+$/

/**
 * An IP address in one form: without port, brackets and zone, in lower case, and an IPv4 address within IPv6
 * (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2) as IPv4.
 *
 * @returns undefined for a text that is no address
 */
export function readIpAddress(text: string): string | undefined {
  const [, bracketed, beforePort] = decorated.exec(text) ?? []
  const [address = ''] = (bracketed ?? beforePort ?? text).split('%', 1)
  const lower = address.toLowerCase()
  const embedded = lower.startsWith('::ffff:') ? lower.slice('::ffff:'.length) : ''
  if (isIPv4(embedded)) return embedded
  return isIP(lower) === 0 ? undefined : lower
}

/**
 * The part of an address that one subscriber has: all of an IPv4 address, the first 64 bits of an IPv6 address
 * (RFC 6177 §2: a site has a /64 at least, and every host in it as many addresses as it likes).
 *
 * @param address as `readIpAddress` gives it
 * @returns a text that is equal for equal blocks
 */
export function addressBlock(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  // The four numbers of an IPv4 address at the end stand for two groups.
  const lastLength = last.length + (last.at(-1)?.includes('.') ? 1 : 0)
  const zeros = tail === undefined ? 0 : 8 - first.length - lastLength
  const groups = [...first, ...Array.from({ length: zeros }, () => '0'), ...last]
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
