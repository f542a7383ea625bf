/** The place of a request in its caller's trace, in lower case hexadecimal digits. */
export type TraceContext = {
  /** 16 bytes, the same for all that belongs to the trace. */
  readonly traceId: string
  /** 8 bytes: the caller's span. */
  readonly parentId: string
}

/** Version 00, and what a later one must begin with. */
const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/

/**
 * Reads a `traceparent` header (W3C Trace Context, 3.2). One of a later version is read for what it has in common with
 * version 00, as 3.2.4 asks.
 *
 * @param header its value; several headers of the name arrive joined, and are not valid
 * @returns undefined when it is missing or not valid: it is then to be ignored
 */
export function readTraceparent(header: string | string[] | undefined): TraceContext | undefined {
  if (typeof header !== 'string') return undefined
  const [, version, traceId, parentId, more] = form.exec(header) ?? []
  if (version === undefined || traceId === undefined || parentId === undefined) return undefined
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (isZero(traceId) || isZero(parentId)) return undefined
  return { traceId, parentId }
}

function isZero(digits: string): boolean {
  return /^0+$/.test(digits)
}
