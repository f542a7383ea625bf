import { bodyFor } from './bodies.ts'
import { type Operation, operationAt, operations, type Parameter, problemWith } from './document.ts'
import type { Actor } from './memory.ts'
import { type Context, type Draft, someId, validValue, wrongValue } from './values.ts'

/** A request as it is sent, and what is known of it. */
export type FuzzRequest = {
  /** What it was made from. */
  readonly operation: Operation
  /** What it comes to: seldom another one, or none. */
  readonly meant: Operation | undefined
  readonly actor: Actor
  readonly method: string
  readonly path: string
  /** Names and values in turn; a name may come twice. */
  readonly headers: readonly string[]
  readonly body: Buffer | undefined
  /** The body, if there is one, is sent without its length. */
  readonly inChunks: boolean
  /** Each part is as the document asks for it: the service must not say that its form is wrong. */
  readonly isRight: boolean
  /** The body breaks the document's schema: the service must not take it. */
  readonly isBodyWrong: boolean
}

const bodiless = ['GET', 'HEAD', 'DELETE']

const makers = operations.filter(({ operationId }) =>
  /^(createTask|batchTasks|importData)$/.test(operationId),
)

/** The next request; whatever it is, Node's client can send it. */
export function makeRequest(context: Context): FuzzRequest {
  const { random, actor } = context
  // Without enough tasks most of what is asked for is not there.
  const operation = random.pick(random.chance(0.15) ? makers : operations)
  const draft: Draft = { isRight: true, headers: [] }
  const wanted = someMethod(operation, draft, context)
  authorize(draft, context)
  const path = somePath(operation, draft, context) + someQuery(operation, draft, context)
  for (const parameter of operation.parameters) {
    if (parameter.in === 'header' && (parameter.required || random.chance(0.4)))
      addHeader(parameter, draft, context)
  }
  addOddHeaders(draft, context)
  // What is too long to be read is answered with a body, as its method is not known; Node's client fails at one to HEAD.
  const isLong = path.length + draft.headers.join('').length > 14_000
  const method = wanted === 'HEAD' && isLong ? 'GET' : wanted
  const { content, value, type } = bodyFor(operation, draft, context)
  if (content !== undefined && bodiless.includes(method)) draft.isRight = false
  const isBodyWrong =
    value !== undefined &&
    type !== undefined &&
    !bodiless.includes(method) &&
    method === operation.method &&
    // Each of its operations succeeds or fails by itself.
    !isIndependent(value) &&
    problemWith(trimmed(value), ...placeOf(operation), 'requestBody', 'content', type, 'schema') !== undefined
  return {
    operation,
    meant: operationAt(method, path),
    actor,
    method,
    path,
    headers: draft.headers,
    body: content,
    inChunks: content !== undefined && random.chance(0.2),
    isRight: draft.isRight && !isBodyWrong,
    isBodyWrong,
  }
}

/** Where the document has an operation. */
export function placeOf({ path, method }: Operation): string[] {
  return ['paths', path, method.toLowerCase()]
}

/** The request as people read it, long parts cut short. */
export function show({ actor, method, path, headers, body }: FuzzRequest): string {
  const lines = headers.flatMap((each, at) => {
    const value = headers[at + 1]?.replace(actor.token, '<token>') ?? ''
    return at % 2 === 0 ? [`${each}: ${cutShort(value)}`] : []
  })
  const text = body && `${body.length} bytes: ${cutShort(JSON.stringify(body.toString()))}`
  return [`${method} ${cutShort(path)} (user ${cutShort(actor.userId)})`, ...lines, text ?? 'no body'].join(
    '\n    ',
  )
}

function cutShort(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 290)}… (${text.length})`
}

function isIndependent(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'mode' in value && value.mode === 'independent'
}

/** Titles are trimmed before their length is looked at, which a JSON Schema cannot say. */
function trimmed(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > 10) return value
  if (Array.isArray(value)) return value.map((each) => trimmed(each, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      name === 'title' && typeof each === 'string' ? each.trim() : trimmed(each, depth + 1),
    ]),
  )
}

function someMethod({ method }: Operation, draft: Draft, { random }: Context): string {
  if (method === 'GET' && random.chance(0.08)) return 'HEAD'
  if (random.chance(0.97)) return method
  draft.isRight = false
  return random.pick(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'])
}

function authorize(draft: Draft, { random, actor }: Context): void {
  if (random.chance(0.96)) {
    draft.headers.push('Authorization', `Bearer ${actor.token}`)
    return
  }
  draft.isRight = false
  const { token, expiredToken } = actor
  const wrong = [
    `Bearer ${expiredToken}`,
    `Bearer ${token}x`,
    'Bearer',
    'Basic dTpw',
    `bearer  ${token}`,
    'Bearer ÿ',
    '',
  ]
  if (random.chance(0.8)) draft.headers.push('Authorization', random.pick(wrong))
}

function somePath({ path }: Operation, draft: Draft, context: Context): string {
  const { random, actor, others } = context
  const filled = path.replace('{user_id}', () => {
    if (random.chance(0.6)) return 'me'
    if (random.chance(0.9)) return encodeURIComponent(actor.userId)
    draft.isRight = false
    return random.pick([
      encodeURIComponent(random.pick(others).userId),
      'ME',
      '',
      '%00',
      '%ff',
      '..',
      'a%2Fb',
    ])
  })
  const withTask = filled.replace('{task_id}', () => {
    // Few tasks are in the trash: without this hardly one would come back, or go for good.
    const { deleted } = actor
    if (/trash|restore/.test(path) && deleted.length > 0 && random.chance(0.5)) return random.pick(deleted)
    if (random.chance(0.95)) return someId(context)
    draft.isRight = false
    return random.pick([
      '1',
      '%20',
      'null',
      '%E0%A4%A',
      'a'.repeat(4_000),
      '%F0%9F%91%A9',
      '..%2f',
      `${someId(context)}%00`,
    ])
  })
  if (random.chance(0.98)) return withTask
  draft.isRight = false
  return random.pick([
    `${withTask}/`,
    `/${withTask}`,
    `${withTask}%`,
    `${withTask};x=1`,
    withTask.toUpperCase(),
    '*',
  ])
}

function someQuery({ parameters }: Operation, draft: Draft, context: Context): string {
  const { random } = context
  const pairs: string[] = []
  const known = parameters.filter((each) => each.in === 'query')
  for (const { name, schema } of known.filter(() => random.chance(0.3))) {
    const isRight = random.chance(0.9)
    draft.isRight &&= isRight
    const value = isRight ? validValue(schema, name, context) : wrongValue(context)
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
    pairs.push(`${name}=${encodeURIComponent(text.toWellFormed())}`)
    if (random.chance(0.02)) {
      draft.isRight = false
      pairs.push(`${name}=${encodeURIComponent(text.toWellFormed())}`)
    }
  }
  if (random.chance(0.03)) {
    draft.isRight = false
    const odd = [
      'unknown=1',
      '__proto__=1',
      'constructor[x]=1',
      'limit[]=1',
      '=',
      '&&',
      'q=%ED%A0%80',
      'q=%',
      'q',
      '%00=%00',
    ]
    pairs.push(random.pick([...odd, `q=${'a'.repeat(12_000)}`, `q=${'a'.repeat(20_000)}`]))
  }
  return pairs.length > 0 ? `?${pairs.join('&')}` : ''
}

function addHeader({ name, schema }: Parameter, draft: Draft, context: Context): void {
  const { random } = context
  const isNever = schema.pattern === '^(?!)'
  // An erasure that is right ends much of what the run has built up.
  const isRight = random.chance(name === 'confirm' ? 0.3 : 0.85)
  if (!isRight || isNever) draft.isRight = false
  const odd = [
    '',
    '"',
    '7',
    'W/',
    '"a"b',
    '*, *',
    '\xff\xfe',
    'x'.repeat(300),
    '"1",'.repeat(400),
    'erase erase',
    '\t',
  ]
  const value = isRight ? String(validValue(schema, name, context)) : random.pick(odd)
  draft.headers.push(name, value)
  if (!isRight && random.chance(0.2)) draft.headers.push(name, value)
}

function addOddHeaders(draft: Draft, context: Context): void {
  const { random } = context
  if (random.chance(0.3)) {
    const ids = ['a', 'A.b_c-9', 'x'.repeat(128), 'x'.repeat(129), 'no spaces', 'ümlaut', '', '{}']
    draft.headers.push('X-Request-Id', random.pick(ids))
  }
  if (random.chance(0.95)) return
  draft.isRight = false
  const odd: [string, string][] = [
    ['Last-Event-ID', 'x'],
    ['If-Match', '"1"'],
    ['If-None-Match', '*'],
    ['Idempotency-Key', 'ÿ'],
    ['Confirm', 'erase'],
    ['Expect', 'something-else'],
    ['Accept', 'text/html;q=0'],
    ['Accept-Encoding', 'br;q=1, *;q=0'],
    ['Range', 'bytes=0-1'],
    ['Content-Encoding', 'gzip'],
    ['X-HTTP-Method-Override', 'DELETE'],
    ['X-Forwarded-For', '::1, unknown'],
    ['Origin', 'null'],
    ['Cookie', 'a=b'.repeat(500)],
    ['X-Long', 'x'.repeat(random.pick([8_000, 17_000]))],
    ['Upgrade', 'h2c'],
  ]
  for (const each of random.pick([odd, [random.pick(odd)], [random.pick(odd), random.pick(odd)]]).slice(0, 3))
    draft.headers.push(...each)
}
