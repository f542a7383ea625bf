import { problemWith } from './document.ts'
import { type FuzzRequest, placeOf } from './requests.ts'
import type { FuzzAnswer } from './transport.ts'

/** Of any answer over HTTP; the document has what is particular to an operation. */
const generalHeaders =
  /^(allow|cache-control|connection|content-length|content-security-policy|content-type|cross-origin-[\w-]+|date|keep-alive|permissions-policy|ratelimit|ratelimit-policy|referrer-policy|strict-transport-security|transfer-encoding|vary|x-accel-buffering|x-content-type-options|x-frame-options)$/

const requestIdForm = /^[A-Za-z0-9._-]{1,128}$/

/** Statuses that say that a request has not the form that the document asks for. */
const formStatuses = [400, 401, 403, 405, 413, 415, 422, 431]

/** Codes with these statuses that a request of the right form can get all the same. */
const stateCodes = /"code":"(INVALID_CURSOR|IDEMPOTENCY_KEY_REUSED)"/

/**
 * Holds an answer against the document and the contract.
 *
 * @param secrets texts that stand in other users' data and in nobody else's
 * @returns what is wrong with it, a line each
 */
export function faultsOf(request: FuzzRequest, answer: FuzzAnswer, secrets: readonly string[]): string[] {
  const { status, text } = answer
  const faults = [...statusFaults(request, answer), ...headerFaults(request, answer)]
  if (status >= 500 && !isOneTooMany(request, answer)) faults.push(`${status} answered`)
  const shown = `${text}\n${Object.values(answer.headers).join('\n')}`
  if (secrets.some((secret) => shown.includes(secret))) faults.push("another user's text is shown")
  if (request.isBodyWrong && status < 300) faults.push('a body was taken that the document refuses')
  // The code of an answer to HEAD is not to be seen.
  const isState = stateCodes.test(text) || (request.method === 'HEAD' && status === 400)
  if (request.isRight && formStatuses.includes(status) && !isState && !isFailedPart(request))
    faults.push('a request was refused that the document takes')
  return [...faults, ...bodyFaults(request, answer)]
}

/** A batch answers with the failure of one operation, and an import has rules for its lines: both can be a 422. */
function isFailedPart({ operation }: FuzzRequest): boolean {
  return /^(batchTasks|importData)$/.test(operation.operationId)
}

/** A user may have two transfers under way, and the run may begin a third. */
function isOneTooMany({ meant }: FuzzRequest, { text }: FuzzAnswer): boolean {
  return /^(importData|exportData)$/.test(meant?.operationId ?? '') && text.includes('"code":"OVERLOADED"')
}

function documented({ meant }: FuzzRequest, { status }: FuzzAnswer) {
  return meant?.responses[String(status)]
}

function statusFaults(request: FuzzRequest, answer: FuzzAnswer): string[] {
  const { status, headers } = answer
  if (request.meant !== undefined)
    return documented(request, answer) === undefined ? [`${status} is not documented`] : []
  if (status < 400 || status >= 500) return [`${status} where there is no operation`]
  if (status === 405 && headers.allow === undefined) return ['405 without Allow']
  return []
}

function headerFaults(request: FuzzRequest, answer: FuzzAnswer): string[] {
  const { headers, status } = answer
  const faults: string[] = []
  const asked = request.headers.flatMap((each, at) =>
    each === 'X-Request-Id' ? [request.headers[at + 1] ?? ''] : [],
  )
  const id = String(headers['x-request-id'])
  if (!requestIdForm.test(id)) faults.push('no request id')
  // What cannot be read, or is too long, is answered before its headers are known.
  const [wanted = ''] = asked
  if (requestIdForm.test(wanted) && id !== wanted && status !== 431 && status !== 400)
    faults.push('the request id is not echoed')
  if (status === 401 && headers['www-authenticate'] === undefined) faults.push('401 without WWW-Authenticate')
  if (request.meant === undefined) return faults
  const known = Object.keys(documented(request, answer)?.headers ?? {}).map((name) => name.toLowerCase())
  for (const name of Object.keys(headers)) {
    if (!generalHeaders.test(name) && !known.includes(name) && name !== 'x-request-id' && status !== 304)
      faults.push(`the header ${name} is not documented for ${status}`)
  }
  if (known.includes('etag') && status < 300 && headers.etag === undefined) faults.push('no ETag')
  return faults
}

function bodyFaults(request: FuzzRequest, answer: FuzzAnswer): string[] {
  const { status, headers, text } = answer
  const type = String(headers['content-type'])
  if (status === 304 || request.method === 'HEAD') return text === '' ? [] : ['a body where none may be']
  if (type.startsWith('text/event-stream')) return eventFaults(text)
  if (type.startsWith('application/x-ndjson')) return lineFaults(text)
  if (type !== 'application/json; charset=utf-8') return [`the content type is ${type}`]
  const body = parse(text)
  const faults: string[] = []
  if (idOf(body) !== headers['x-request-id']) faults.push('meta.request_id is not the header')
  const schema = ['content', 'application/json', 'schema']
  const place =
    status < 400 && request.meant !== undefined
      ? [...placeOf(request.meant), 'responses', String(status), ...schema]
      : ['components', 'schemas', 'Error']
  const isKnown = status >= 400 || documented(request, answer) !== undefined
  const problem = isKnown ? problemWith(body, ...place) : undefined
  if (problem !== undefined) faults.push(`the body is not as documented: ${problem}`)
  return faults
}

function eventFaults(text: string): string[] {
  const [first = ''] = text.split('\n\n')
  return /(^|\n)event: (ready|reset|token_expired)\n/.test(first) && /\ndata: /.test(first)
    ? []
    : ['the first event is not as documented']
}

function lineFaults(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const problem = problemWith(parse(line), 'components', 'schemas', 'ExportedTask')
      return problem === undefined ? [] : [`a line is not as documented: ${problem}`]
    })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function idOf(body: unknown): unknown {
  const meta: unknown = typeof body === 'object' && body !== null && 'meta' in body ? body.meta : undefined
  return typeof meta === 'object' && meta !== null && 'request_id' in meta ? meta.request_id : undefined
}
