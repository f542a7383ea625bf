import type { IncomingHttpHeaders } from 'node:http'
import { newId } from '../lib/ids.ts'

const form = /^[A-Za-z0-9._-]{1,128}$/

/** The id that the caller has given to a request, where it has the form of one, or a new one. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const id = headers['x-request-id']
  return typeof id === 'string' && form.test(id) ? id : newId()
}
