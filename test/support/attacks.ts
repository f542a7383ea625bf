import { randomBytes, randomUUID } from 'node:crypto'
import { signToken } from '../../src/cli/sign-token.ts'
import { newUser, testSecret } from './app.ts'
import type { TestDatabase } from './database.ts'
import type { IsolationCase, Loot, RequestVariant } from './isolation-cases.ts'

export type Victim = Loot & {
  readonly userId: string
  readonly token: string
  /** What of the loot is another for a task in the trash. */
  readonly inTrash: Pick<Loot, 'id' | 'etag' | 'cursor'>
}

type Sent = { readonly status: number; readonly headers: Record<string, string>; readonly text: string }

type Attack = RequestVariant & {
  readonly path: string
  readonly token?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** What came of the attacks on one route: how many there were, and in words those that were not refused as they must be. */
export type Outcome = { readonly attacks: number; readonly problems: readonly string[] }

/** A user with three tasks, the last created with an Idempotency-Key, and two in the trash; nobody else has their text. */
export async function makeVictim(url: string): Promise<Victim> {
  const userId = newUser()
  const token = tokenOf(userId)
  const marker = randomBytes(12).toString('hex')
  const task = { title: `Title ${marker}`, description: `Text ${marker}`, completed: true }
  const key = randomUUID()
  const create = (headers = {}) => send(url, 'POST', { path: '/api/me/tasks', token, json: task, headers })
  await create()
  await create()
  const { id } = JSON.parse((await create({ 'idempotency-key': key })).text).data
  const discard = async () => {
    const { id } = JSON.parse((await create()).text).data
    await send(url, 'DELETE', { path: `/api/me/tasks/${id}`, token })
    return id
  }
  await discard()
  const trashedId = await discard()
  const cursorOf = async (list: string) => {
    const page = await send(url, 'GET', { path: `/api/me/${list}?limit=1`, token })
    return JSON.parse(page.text).meta.next_cursor
  }
  const inTrash = { id: trashedId, etag: '"7"', cursor: await cursorOf('trash') }
  const cursor = await cursorOf('tasks')
  const feed = await send(url, 'GET', { path: '/api/me/changes?limit=1', token })
  const changesCursor = JSON.parse(feed.text).meta.next_cursor
  const { title, description } = task
  return { userId, token, id, title, description, etag: '"3"', cursor, inTrash, key, changesCursor }
}

/** What the database holds of a user, byte for byte, with the place and the writer of each row. */
export async function snapshot({ query }: TestDatabase, userId: string): Promise<string> {
  const rows = await query(
    `select r::text, r.ctid::text, r.xmin::text from app.tasks r where user_id = $1
     union all select r::text, r.ctid::text, r.xmin::text from app.change_counters r where user_id = $1
     union all select r::text, r.ctid::text, r.xmin::text from app.deletions r where user_id = $1
     union all select r::text, r.ctid::text, r.xmin::text from app.idempotency_keys r where user_id = $1
     order by 1`,
    [userId],
  )
  return JSON.stringify(rows)
}

export type AttackKind = "on the victim's path" | 'without a token' | 'on a path of their own'

/**
 * Attacks one route: another user on the victim's path, nobody at all, and another user on a path of their own that
 * carries what is the victim's.
 *
 * @param route as `METHOD /path`
 * @param only the one kind of attack to make, or all when left out
 */
export async function attack(
  url: string,
  route: string,
  each: IsolationCase,
  owner: Victim,
  only?: AttackKind,
): Promise<Outcome> {
  const [method = '', pattern = ''] = route.split(' ')
  const victim = aimAt(route, owner)
  const problems: string[] = []
  let attacks = 0
  const attempt = async (name: AttackKind, request: Attack): Promise<Attempt> => {
    attacks++
    const answer = await send(url, method, request)
    const report = (what: string) => {
      problems.push(`${route} ${name}: ${what}: ${answer.status} ${answer.text.slice(0, 300)}`)
    }
    // What the attacker sent may come back to them.
    const sent = JSON.stringify(request.json ?? '') + (request.raw ?? '')
    const stolen = [victim.title, victim.description, victim.userId].filter((text) =>
      answer.text.includes(text),
    )
    if (stolen.some((text) => !sent.includes(text))) report("holds the victim's data")
    return { answer, report }
  }
  const target = { url, method, pattern, attempt, victim }
  if (only === undefined || only === "on the victim's path") await attackVictimsPath(target, each)
  if (only === undefined || only === 'without a token') await attackWithoutToken(target, each)
  if (only === undefined || only === 'on a path of their own') await attackFromOwnPath(target, each)
  return { attacks, problems }
}

/** What the attacks on a route are after: on those of the trash, a task that is in it. */
function aimAt(route: string, victim: Victim): Victim {
  return /\/trash\b|\/restore$/.test(route) ? { ...victim, ...victim.inTrash } : victim
}

type Attempt = { readonly answer: Sent; readonly report: (what: string) => void }

type Target = {
  readonly url: string
  readonly method: string
  readonly pattern: string
  readonly victim: Victim
  readonly attempt: (name: AttackKind, request: Attack) => Promise<Attempt>
}

/** All are 403, and the same as for a route that does not exist. */
async function attackVictimsPath({ url, method, pattern, victim, attempt }: Target, each: IsolationCase) {
  const token = tokenOf(newUser())
  const escaped = `%${victim.userId.charCodeAt(0).toString(16)}${victim.userId.slice(1)}`
  const paths = new Set(
    [victim.id, victim.id.toUpperCase(), randomUUID(), 'x'].flatMap((id) => [
      fill(pattern, victim.userId, id),
      fill(pattern, escaped, id),
      fill(pattern, victim.userId, id).replace('/api/', '/%61pi/'),
    ]),
  )
  const unknown = await send(url, method, { path: `/api/${victim.userId}/nothing/here`, token })
  for (const variant of each.variants(victim)) {
    for (const headers of conditions(victim)) {
      for (const path of paths) {
        const { answer, report } = await attempt("on the victim's path", {
          ...variant,
          path,
          token,
          headers: { ...variant.headers, ...headers },
        })
        if (answer.status !== 403) report('is not 403')
        if (comparable(answer) !== comparable(unknown)) report('differs from an unknown route')
      }
    }
  }
}

/** All are 401. */
async function attackWithoutToken({ pattern, victim, attempt }: Target, each: IsolationCase) {
  for (const variant of each.variants(victim)) {
    for (const headers of badCredentials(victim)) {
      for (const name of [victim.userId, 'me']) {
        const path = fill(pattern, name, victim.id)
        const { answer, report } = await attempt('without a token', {
          ...variant,
          path,
          headers: { ...variant.headers, ...headers },
        })
        if (answer.status !== 401) report('is not 401')
      }
    }
  }
}

/** All are answered as if nobody had what the attacker asks for. */
async function attackFromOwnPath({ url, method, pattern, victim, attempt }: Target, each: IsolationCase) {
  const nobody: Loot = {
    ...victim,
    ...{ id: randomUUID(), etag: '"999"', cursor: 'AAAA', key: randomUUID(), changesCursor: 'AAAA' },
  }
  const blanks = each.variants(nobody)
  const absent = conditions(nobody)
  for (const [index, variant] of each.variants(victim).entries()) {
    for (const [place, headers] of conditions(victim).entries()) {
      for (const name of ['me', 'id']) {
        // New users each time, as some of these requests write.
        const [robber, control] = [await makeOwner(url), await makeOwner(url)]
        const { answer, report } = await attempt('on a path of their own', {
          ...variant,
          path: fill(pattern, name === 'me' ? name : robber.userId, victim.id),
          token: robber.token,
          headers: { ...variant.headers, ...headers },
        })
        const expected = await send(url, method, {
          ...blanks[index],
          path: fill(pattern, name === 'me' ? name : control.userId, nobody.id),
          token: control.token,
          headers: { ...variant.headers, ...absent[place] },
        })
        const isSame = comparable(answer, !each.namesTask) === comparable(expected, !each.namesTask)
        if (!isSame) report(`differs from ${expected.status} ${expected.text} for what nobody has`)
        if (each.namesTask && ![404, 422].includes(answer.status)) report('is neither 404 nor 422')
      }
    }
  }
}

/** Makes the same request as the owner of a task; undefined when it succeeds, else what is wrong. */
export async function tryAsOwner(
  url: string,
  route: string,
  each: IsolationCase,
): Promise<string | undefined> {
  const [method = '', pattern = ''] = route.split(' ')
  const { userId, id, token } = aimAt(route, await makeVictim(url))
  const path = fill(pattern, userId, id)
  const { status, text } = await send(url, method, { ...each.ownersRequest, path, token })
  return status < 300 ? undefined : `${route} is answered ${status} ${text} to its owner`
}

function badCredentials({ token, userId }: Victim): Record<string, string>[] {
  const [header, , signature] = token.split('.')
  const payload = Buffer.from(JSON.stringify({ sub: userId, exp: 9_999_999_999 })).toString('base64url')
  return [
    {},
    { authorization: `Bearer ${token}x` },
    { authorization: `Bearer ${header}.${payload}.${signature}` },
    { authorization: `Basic ${token}` },
    { cookie: `token=${token}; better-auth.session_token=${token}`, 'x-user-id': userId },
  ]
}

function conditions({ etag, key }: Loot): Record<string, string>[] {
  return [
    {},
    { 'if-match': etag },
    { 'if-none-match': etag },
    { 'if-match': etag, 'if-none-match': etag },
    { 'if-match': '*', 'if-none-match': '*' },
    { 'idempotency-key': key },
    { 'idempotency-key': key, 'if-match': etag },
  ]
}

function fill(pattern: string, user: string, id: string): string {
  return pattern.replace(':user_id', user).replace(':task_id', id)
}

function tokenOf(userId: string): string {
  return signToken({ secret: testSecret, userId })
}

/** A user with one task. */
async function makeOwner(url: string): Promise<{ userId: string; token: string }> {
  const userId = newUser()
  const token = tokenOf(userId)
  await send(url, 'POST', { path: '/api/me/tasks', token, json: { title: 'Own' } })
  return { userId, token }
}

/** An answer without what differs between any two; `isLoose` also takes out ids, cursors and times of its own. */
function comparable({ status, headers, text }: Sent, isLoose = false): string {
  const { date: _, 'x-request-id': __, connection: ___, 'keep-alive': ____, ...rest } = headers
  const meta = text
    .replace(/"timestamp":"[^"]*"/, '"timestamp":""')
    .replace(/"request_id":"[^"]*"/, '"request_id":""')
  const whole = JSON.stringify([status, rest, meta])
  if (!isLoose) return whole
  return whole
    .replaceAll(/(next_cursor\\":\\"|\bid: )[\w-]+/g, '$1<cursor>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, '<uuid>')
    .replaceAll(/\b[0-9a-f]{32}\b/g, '<user>')
    .replaceAll(/(?<=W\/\\"\d+\.)[\w-]{8}/g, '<user>')
}

async function send(
  url: string,
  method: string,
  { path, query = '', token, headers = {}, json, raw }: Attack,
): Promise<Sent> {
  const response = await fetch(`${url}${path}${query}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json !== undefined && { body: JSON.stringify(json) }),
    ...(raw !== undefined && { body: raw }),
  })
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    text: await readText(response),
  }
}

/** The whole of an answer; of a stream, which has no end, what comes up to the first heartbeat after its beginning. */
async function readText(response: Response): Promise<string> {
  if (response.headers.get('content-type') !== 'text/event-stream' || response.body === null)
    return response.text()
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (/\n\n:\n\n$/.test(text)) break
  }
  return text.replaceAll(':\n\n', '')
}
