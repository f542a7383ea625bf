import { hash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { type Success, success } from './envelope.ts'

/** The change numbers at which a client knows its list, or null for any. */
export type KnownCounters = readonly number[] | null

/**
 * The weak ETag of every list of a user (RFC 9110 §8.8.3): it changes with the user's change number. It also tells users
 * apart, since `/api/me/…` is one URL for all: a browser's cache must never take the list of the user before for that of
 * the next.
 */
export function formatListEtag(userId: string, counter: number): string {
  return `W/"${counter}.${tagOf(userId)}"`
}

function tagOf(userId: string): string {
  return hash('sha256', userId, 'base64url').slice(0, 8)
}

const listTag = /"(0|[1-9]\d{0,14})\.([\w-]{8})"/g

/**
 * The change numbers that If-None-Match names, by weak comparison (RFC 9110 §13.1.2). Tags of other users and things are
 * passed over.
 *
 * @param value a well-formed If-None-Match, or undefined without the header
 * @returns null for `*`: any
 */
export function readKnownCounters(value: string | undefined, userId: string): KnownCounters {
  if (value === undefined) return []
  if (value.trim() === '*') return null
  const own = tagOf(userId)
  return Array.from(value.matchAll(listTag))
    .filter(([, , tag]) => tag === own)
    .map(([, counter]) => Number(counter))
}

/** Whether a client that knows these has the list of this change number. */
export function isKnown(known: KnownCounters, counter: number): boolean {
  return known === null || known.includes(counter)
}

/** A page as it was found, to be answered. */
export type FoundPage<T> = {
  readonly userId: string
  readonly counter: number
  readonly known: KnownCounters
  /** Up to one more than `limit`: that one tells whether a page follows. */
  readonly found: readonly T[]
  readonly limit: number
  /** How many there are in all, when that was asked for. */
  readonly total: number | undefined
  /** Makes the cursor of the page after this item. */
  readonly cursorAfter: (last: T) => string
}

/**
 * Answers with a page of a list: 304 where the client has it, else the items, next_cursor, the link to the next page
 * (RFC 8288) and the total.
 */
export function answerList<T>(
  request: { readonly id: string; readonly url: string },
  reply: FastifyReply,
  { userId, counter, known, found, limit, total, cursorAfter }: FoundPage<T>,
): Success<readonly T[]> | FastifyReply {
  reply.header('etag', formatListEtag(userId, counter))
  if (isKnown(known, counter)) return reply.code(304).send()
  const page = found.slice(0, limit)
  const last = page.at(-1)
  const next = found.length > limit && last !== undefined ? cursorAfter(last) : null
  if (next !== null) reply.header('link', `<${nextUrl(request.url, next)}>; rel="next"`)
  return success(request, page, { next_cursor: next, ...(total !== undefined && { total }) })
}

/** The same URL with another cursor. What may stand in a path and would end the link is escaped. */
function nextUrl(url: string, cursor: string): string {
  const [path = '', ...query] = url.split('?')
  const parameters = new URLSearchParams(query.join('?'))
  parameters.set('cursor', cursor)
  return `${path.replaceAll(/[<>"]/g, encodeURIComponent)}?${parameters}`
}
