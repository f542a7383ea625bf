import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { Answer } from '../support/app.ts'

/** A header with a key of its own. */
export function newKey(): { 'idempotency-key': string } {
  return { 'idempotency-key': randomUUID() }
}

/** The bytes of `data` or `error` in an answer: what is between the status and meta. */
export function contentOf({ text }: Answer): string {
  const content = /^\{"status":"(?:success|error)","(?:data|error)":(.*),"meta":\{[^{}]*\}\}$/s.exec(
    text,
  )?.[1]
  assert.ok(content !== undefined, text)
  return content
}

export function isReplay(answer: Answer): boolean {
  const header = answer.headers.get('idempotency-replayed')
  assert.ok(header === null || header === 'true')
  return header !== null
}

/** Checks that an answer is the first one again, byte for byte, but for its meta. */
export function assertReplay(answer: Answer, first: Answer): void {
  assert.ok(isReplay(answer), answer.text)
  assert.equal(answer.status, first.status)
  assert.equal(contentOf(answer), contentOf(first))
  assert.equal(answer.body.status, first.body.status)
  const differing = ['date', 'x-request-id', 'idempotency-replayed', 'content-length']
  const headersOf = ({ headers }: Answer) => [...headers].filter(([name]) => !differing.includes(name))
  assert.deepEqual(headersOf(answer), headersOf(first))
  assert.notEqual(answer.body.meta.request_id, first.body.meta.request_id)
  assert.equal(answer.headers.get('x-request-id'), answer.body.meta.request_id)
  // Its own, too; in a race it may be sent before the first one is.
  assert.match(answer.body.meta.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
}
