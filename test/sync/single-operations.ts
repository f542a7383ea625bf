import { randomUUID } from 'node:crypto'
import type { KnownTask } from './account.ts'
import type { Reply } from './exchange.ts'
import type { Fields, Verdict, Writer } from './writer.ts'

/** A create without an id: with a key it is made once, whatever was lost; without one a lost answer may be a task. */
export async function create(writer: Writer): Promise<void> {
  const { account } = writer
  const fields = writer.newFields()
  const start = account.journal.tick()
  const reply = await writer.send({ method: 'POST', path: '/tasks', json: fields }, 'keyed')
  if (reply.status !== 201) return void writer.wrong(reply, '201')
  const known = writer.adopt(reply.body.data)
  known.uncertain = account.removedSince(start).everything
  writer.shows(known, reply.body.data, fields, `${writer.name} created`)
}

/** A create whose answer nobody waits for. */
export async function createAndForget(writer: Writer): Promise<void> {
  const { account } = writer
  const fields = writer.newFields()
  account.anonymous.set(fields.title, 'at most once')
  const url = writer.random.pick(writer.urls)
  account.note(`${writer.name} → POST /tasks ${JSON.stringify(fields)}, cut off`)
  await fetch(`${url}/api/me/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${account.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(fields),
    signal: AbortSignal.timeout(writer.random.integer(0, 6)),
  }).then(
    (response) => response.text(),
    () => account.journal.count('answers lost'),
  )
}

/** A create with the client's id: a new one, or one that was used before. */
export async function createWithId(writer: Writer): Promise<void> {
  const { account, random } = writer
  const again = random.chance(0.4) ? random.any(writer.own) : undefined
  const known = again ?? { ...newTask(writer), id: randomUUID() }
  if (again === undefined) account.known.set(known.id, known)
  const { id, title, description, completed } = known
  const fields = again && random.chance(0.5) ? writer.newFields() : { title, description, completed }
  const same = fields.title === title
  await writer.on(
    [known],
    { method: 'POST', path: '/tasks', json: { id, ...fields } },
    random.pick(['keyed', 'repeatable']),
    (reply, task, mayBeGone) => {
      const isNew = task.state === 'gone' || mayBeGone
      if (reply.status === 201 && isNew) return writer.shows(task, reply.body.data, fields, 'created')
      // Its first answer was lost, or it was there.
      const isThere = task.state === 'live' && same
      if (reply.status === 200 && (isThere || (isNew && reply.retried)))
        return writer.shows(task, reply.body.data, fields, 'created again')
      const isTaken = task.state === 'trash' || (task.state === 'live' && !same)
      if (reply.status === 409 && isTaken) return 'proves'
      return writer.wrong(reply, `the answer to a create on ${JSON.stringify(task)}`)
    },
  )
  if (again === undefined && known.state === 'live') writer.own.push(known)
}

/** As of a task that never was: it is gone until it is created. */
function newTask(writer: Writer): Omit<KnownTask, 'id'> {
  const state = { state: 'gone', version: undefined, uncertain: false, busy: false, touchedAt: 0 } as const
  return { ...writer.newFields(), ...state }
}

type Condition = { readonly headers: Record<string, string>; readonly holds: boolean }

/** An If-Match for a task, or none. */
export function condition({ random }: Writer, { version }: KnownTask): Condition {
  const kind = random.pick(['none', 'none', 'any', 'present', 'present', 'stale'])
  if (kind === 'none' || version === undefined) return { headers: {}, holds: true }
  if (kind === 'any') return { headers: { 'if-match': '*' }, holds: true }
  const holds = kind === 'present'
  return { headers: { 'if-match': `"${holds ? version : version + 1}"` }, holds }
}

/** Some changes, and what they make of the task. */
function changes(writer: Writer): Fields {
  const { title, description, completed } = writer.newFields()
  return writer.random.pick<Fields>([{ title }, { title, completed }, { description }, { completed }])
}

/** PUT, PATCH, or complete. */
export async function update(writer: Writer): Promise<void> {
  const task = writer.choose('live')
  if (task === undefined) return
  const { random } = writer
  const kind = random.pick(['PUT', 'PATCH', 'complete', 'toggle'])
  const { headers, holds } = condition(writer, task)
  const wanted = kind === 'complete' ? { completed: random.chance(0.5) } : changes(writer)
  const fields = kind === 'toggle' ? { completed: !task.completed } : wanted
  const path = `/tasks/${task.id}${kind === 'complete' || kind === 'toggle' ? '/complete' : ''}`
  const method = kind === 'PUT' ? 'PUT' : 'PATCH'
  const json = kind === 'toggle' ? {} : { json: wanted }
  await writer.on(
    [task],
    { method, path, headers, ...json },
    method === 'PATCH' ? 'keyed' : 'once',
    (reply, known, mayBeGone) => {
      if (reply.status === 404) return absent(writer, reply, known, mayBeGone)
      if (reply.status === 412 && !holds && known.state === 'live') {
        return writer.shows(known, reply.body.error.details[0].current, {}, 'mismatch')
      }
      if (reply.status === 200 && holds && known.state === 'live')
        return writer.shows(known, reply.body.data, fields, kind)
      return writer.wrong(reply, `the answer to ${kind} on ${JSON.stringify(known)}`)
    },
  )
}

/** A 404 of a request for a task in the list: a task in the trash is none. */
function absent(writer: Writer, reply: Reply, known: KnownTask, mayBeGone: boolean): Verdict {
  if (known.state === 'live' && !mayBeGone) return writer.wrong(reply, `${JSON.stringify(known)}`)
  if (known.state === 'live') known.state = 'gone'
  return 'allows'
}

export async function read(writer: Writer): Promise<void> {
  const task = writer.choose('live')
  if (task === undefined) return
  await writer.on([task], { method: 'GET', path: `/tasks/${task.id}` }, 'once', (reply, known, mayBeGone) => {
    if (reply.status === 404) return absent(writer, reply, known, mayBeGone)
    if (reply.status === 200 && known.state === 'live')
      return writer.shows(known, reply.body.data, {}, 'read')
    return writer.wrong(reply, `the answer to GET on ${JSON.stringify(known)}`)
  })
}

export async function remove(writer: Writer): Promise<void> {
  const task = writer.choose('live')
  if (task === undefined) return
  const { headers, holds } = condition(writer, task)
  const request = { method: 'DELETE', path: `/tasks/${task.id}`, headers }
  await writer.on([task], request, 'once', (reply, known, mayBeGone) => {
    if (reply.status === 404) return absent(writer, reply, known, mayBeGone)
    if (reply.status === 412 && !holds && known.state === 'live') {
      return writer.shows(known, reply.body.error.details[0].current, {}, 'mismatch')
    }
    if (reply.status !== 200 || !holds || known.state !== 'live')
      return writer.wrong(reply, `the answer to DELETE on ${JSON.stringify(known)}`)
    writer.shows(known, reply.body.data, {}, 'deleted')
    known.state = 'trash'
    return 'proves'
  })
}

export async function restore(writer: Writer): Promise<void> {
  const task = writer.choose('trash')
  if (task === undefined) return
  const request = { method: 'POST', path: `/tasks/${task.id}/restore` }
  await writer.on([task], request, 'keyed', (reply, known, mayBeGone) => {
    if (reply.status === 404 && (known.state === 'gone' || mayBeGone)) return gone(known)
    if (reply.status === 200 && known.state !== 'gone')
      return writer.shows(known, reply.body.data, {}, 'restored')
    return writer.wrong(reply, `the answer to a restore of ${JSON.stringify(known)}`)
  })
}

export async function purge(writer: Writer): Promise<void> {
  const task = writer.choose('trash')
  if (task === undefined) return
  await writer.on(
    [task],
    { method: 'DELETE', path: `/trash/${task.id}` },
    'once',
    (reply, known, mayBeGone) => {
      if (reply.status === 404 && known.state === 'live') return 'allows'
      if (reply.status === 404 && (known.state === 'gone' || mayBeGone)) return gone(known)
      if (reply.status === 200 && known.state === 'trash' && reply.body.data.title === known.title)
        return gone(known)
      return writer.wrong(reply, `the answer to a purge of ${JSON.stringify(known)}`)
    },
  )
}

function gone(known: KnownTask): 'proves' {
  known.state = 'gone'
  return 'proves'
}

/** Any change on a task on which all write: what it answers is only compared with the other answers. */
export async function disturb(writer: Writer): Promise<void> {
  const { account, random } = writer
  const id = random.any(account.shared)
  const version = Math.max(1, account.newestOf(id ?? ''))
  const path = `/tasks/${id}`
  const request = random.weighted([
    [3, { method: 'POST', path: '/tasks', json: { id, title: writer.newTitle() } }],
    [4, { method: 'PATCH', path, json: { title: writer.newTitle() } }],
    [
      4,
      { method: 'PATCH', path, json: { title: writer.newTitle() }, headers: { 'if-match': `"${version}"` } },
    ],
    [2, { method: 'PATCH', path: `${path}/complete` }],
    [1, { method: 'DELETE', path }],
    [1, { method: 'POST', path: `${path}/restore` }],
    [1, { method: 'DELETE', path: `/trash/${id}` }],
  ])
  const reply = await writer.send(request, request.method === 'DELETE' ? 'once' : 'keyed')
  if (![200, 201, 404, 409, 412].includes(reply.status)) writer.wrong(reply, 'an answer of its own')
  if (reply.status > 201 || request.path.startsWith('/trash')) return
  account.saw(reply.body.data, 'shared')
  if ('headers' in request) account.passed(String(id), version)
}
