import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net'
import { after, test } from 'node:test'
import pg from 'pg'
import { encodeCursor } from '../../src/lib/cursor.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'

// What each operation costs, counted on the wire between the service and PostgreSQL.

/** Messages of the client, by their type byte: PostgreSQL documentation, 54.7 Message Formats. */
const sync = 'S'
const query = 'Q'

/** A stand-in for the server's address that takes down every message that a client sends through it. */
class Tap {
  /** Type bytes of the messages so far. */
  messages = ''
  /** Texts that were parsed or queried. */
  readonly texts: string[] = []
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((client) => {
    const { host, port } = this.#target
    const server = host.startsWith('/') ? dial(`${host}/.s.PGSQL.${port}`) : dial(port, host)
    for (const socket of [client, server]) {
      this.#sockets.add(socket.on('error', () => socket.destroy()))
      socket.on('close', () => [client, server].map((each) => each.destroy()))
    }
    client.on('data', this.#reader())
    client.pipe(server).pipe(client)
  })
  readonly #target: pg.Client

  constructor(connection: pg.ClientConfig) {
    this.#target = new pg.Client(connection)
  }

  /** @returns the connection through it */
  async listen(connection: pg.ClientConfig): Promise<pg.ClientConfig> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    return {
      ...connection,
      ssl: false,
      host: '127.0.0.1',
      port: (this.#server.address() as AddressInfo).port,
    }
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Reads one connection: first the start-up message, which has no type, then type, length, content. */
  #reader(): (chunk: Buffer) => void {
    let rest = Buffer.alloc(0)
    let typed = 0
    return (chunk) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= typed + 4 && rest.length >= typed + rest.readInt32BE(typed)) {
        const length = typed + rest.readInt32BE(typed)
        if (typed === 1) this.#note(String.fromCharCode(rest[0] ?? 0), rest.subarray(5, length))
        rest = rest.subarray(length)
        typed = 1
      }
    }
  }

  #note(type: string, content: Buffer): void {
    this.messages += type
    const [name = '', text = ''] = content.toString().split('\0')
    if (type === query) this.texts.push(name)
    if (type === 'P') this.texts.push(text)
  }
}

const testDatabase = await createTestDatabase()
const tap = new Tap(testDatabase.connection)
const connection = await tap.listen(testDatabase.connection)
// One connection, so that a statement is parsed on it once and messages of two requests never mix.
const service = await startApp({ testDatabase: { ...testDatabase, connection }, poolMax: 1 })
after(async () => {
  tap.close()
  await testDatabase.drop()
})

/** The messages that some work sends; the service's own count must agree with them. */
async function sentDuring(work: () => Promise<unknown>): Promise<string> {
  const messages = tap.messages.length
  const { roundTrips } = service.database
  await work()
  const sent = tap.messages.slice(messages)
  const trips = [...sent].filter((type) => type === sync || type === query).length
  assert.equal(service.database.roundTrips - roundTrips, trips, sent)
  return sent
}

/** Bind and Execute of the scope and of the statement, and one Sync; a Parse where it is the first. */
const oneScope = /^P?BEP?BES$/

type Operation = (user: Client, id: string) => Promise<{ status: number }>

/** What comes before an operation on a task in the trash, and is not counted. */
const inTrash: Operation = (user, id) => user.delete(`/api/me/tasks/${id}`)

const operations: Readonly<Record<string, readonly [number, Operation, Operation?]>> = {
  listTasks: [200, (user) => user.get('/api/me/tasks?limit=1')],
  'listTasks of the completed': [200, (user) => user.get('/api/me/tasks?completed=true')],
  'listTasks with a search': [200, (user) => user.get('/api/me/tasks?q=x&sort=title')],
  'listTasks that the client knows': [
    304,
    (user) => user.get('/api/me/tasks?sort=-title', { 'if-none-match': '*' }),
  ],
  'listTasks that the client knew before': [
    200,
    (user) => user.get('/api/me/tasks?sort=updated_at', { 'if-none-match': 'W/"0.AAAAAAAA"' }),
  ],
  createTask: [201, (user) => user.post('/api/me/tasks', { title: 'x' })],
  'createTask with an id': [201, (user) => user.post('/api/me/tasks', { title: 'x', id: randomUUID() })],
  getTask: [200, (user, id) => user.get(`/api/me/tasks/${id}`)],
  replaceTask: [200, (user, id) => user.put(`/api/me/tasks/${id}`, { title: 'y' })],
  updateTask: [
    200,
    (user, id) => user.patch(`/api/me/tasks/${id}`, { description: 'y' }, { 'if-match': '"1"' }),
  ],
  'updateTask without a change': [200, (user, id) => user.patch(`/api/me/tasks/${id}`, {})],
  completeTask: [200, (user, id) => user.patch(`/api/me/tasks/${id}/complete`, { completed: true })],
  'completeTask as a toggle': [200, (user, id) => user.patch(`/api/me/tasks/${id}/complete`)],
  deleteTask: [200, (user, id) => user.delete(`/api/me/tasks/${id}`)],
  restoreTask: [200, (user, id) => user.post(`/api/me/tasks/${id}/restore`), inTrash],
  'restoreTask of a task that is not in the trash': [
    200,
    (user, id) => user.post(`/api/me/tasks/${id}/restore`),
  ],
  'restoreTask of no task': [404, (user) => user.post(`/api/me/tasks/${randomUUID()}/restore`)],
  listTrash: [200, (user) => user.get('/api/me/trash?limit=1'), inTrash],
  'listTrash that the client has': [
    304,
    (user) => user.get('/api/me/trash', { 'if-none-match': '*' }),
    inTrash,
  ],
  'listTrash that the client has no more': [
    200,
    (user) => user.get('/api/me/trash', { 'if-none-match': 'W/"1"' }),
    inTrash,
  ],
  purgeTask: [200, (user, id) => user.delete(`/api/me/trash/${id}`), inTrash],
  'purgeTask of another version': [
    412,
    (user, id) => user.delete(`/api/me/trash/${id}`, { 'if-match': '"9"' }),
    inTrash,
  ],
  'purgeTask of a task that is not in the trash': [404, (user, id) => user.delete(`/api/me/trash/${id}`)],
  listChanges: [200, (user) => user.get('/api/me/changes')],
  'listChanges after a cursor that is ahead': [
    410,
    (user) => user.get(`/api/me/changes?since=${encodeCursor(['9'], ['list-changes', user.userId])}`),
  ],
  'getTask of no task': [404, (user) => user.get(`/api/me/tasks/${randomUUID()}`)],
  'updateTask of no task': [404, (user) => user.patch(`/api/me/tasks/${randomUUID()}`, { title: 'y' })],
  'deleteTask of no task': [404, (user) => user.delete(`/api/me/tasks/${randomUUID()}`)],
  'updateTask of another version': [
    412,
    (user, id) => user.patch(`/api/me/tasks/${id}`, { title: 'y' }, { 'if-match': '"9"' }),
  ],
  'deleteTask of another version': [
    412,
    (user, id) => user.delete(`/api/me/tasks/${id}`, { 'if-match': '"9"' }),
  ],
}

for (const [name, [status, operation, prepare]] of Object.entries(operations)) {
  test(`${name} costs one round trip, its parse included, and no parse the second time`, async () => {
    for (const form of [oneScope, /^BEBES$/]) {
      const user = service.as(newUser())
      const { id } = await makeTask(user)
      await prepare?.(user, id)
      const sent = await sentDuring(async () => assert.equal((await operation(user, id)).status, status))
      assert.match(sent, form)
    }
  })
}

test('every page of a list costs one round trip', async () => {
  const user = service.as(newUser())
  for (let count = 0; count < 5; count++) await makeTask(user)
  let path: string | undefined = '/api/me/tasks?limit=2'
  let pages = 0
  while (path !== undefined) {
    const next = path
    const sent = await sentDuring(async () => {
      const { body } = await user.get(next)
      path =
        body.meta.next_cursor === null ? undefined : `/api/me/tasks?limit=2&cursor=${body.meta.next_cursor}`
    })
    assert.match(sent, oneScope)
    pages++
  }
  assert.equal(pages, 3)
})

test('the trash is emptied in one round trip: the lock, and the statement that begins once it is held', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  await inTrash(user, id)
  for (const removed of [1, 0]) {
    const sent = await sentDuring(async () => {
      assert.equal((await user.delete('/api/me/trash')).body.data.removed, removed)
    })
    assert.match(sent, /^P?BE(P?BE){2}S$/)
  }
})

test('a list with its total costs one round trip, also where the client knows it', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  for (const [known, status] of [
    ['"x"', 200],
    ['*', 304],
  ] as const) {
    const sent = await sentDuring(async () => {
      const answer = await user.get('/api/me/tasks?count=true&sort=-updated_at', { 'if-none-match': known })
      assert.equal(answer.status, status)
    })
    assert.match(sent, /^BE(P?BE){2}S$/)
  }
})

test('a create whose id exists costs one too', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user, { title: 'x', id: randomUUID() })
  for (const [title, status] of [
    ['x', 200],
    ['y', 409],
  ] as const) {
    const sent = await sentDuring(async () => {
      assert.equal((await user.post('/api/me/tasks', { title, id })).status, status)
    })
    assert.match(sent, oneScope)
  }
})

/** begin, the scope, the bound on idleness, the lock, the look-up. */
const claim = '(P?BE){5}S'
const withKey = new RegExp(`^${claim}P?BES(P?BE){2}S$`)
const again = new RegExp(`^${claim}P?BES$`)

test('with an Idempotency-Key a write costs three: its claim, the write, the answer with the commit', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const nobodys = randomUUID()
  for (const [status, write] of [
    [201, (key) => user.post('/api/me/tasks', { title: 'x' }, key)],
    [200, (key) => user.patch(`/api/me/tasks/${id}`, { title: 'y' }, key)],
    [200, (key) => user.patch(`/api/me/tasks/${id}/complete`, undefined, key)],
    [404, (key) => user.patch(`/api/me/tasks/${nobodys}`, { title: 'y' }, key)],
  ] as const satisfies readonly [number, (key: Record<string, string>) => Promise<{ status: number }>][]) {
    const key = { 'idempotency-key': randomUUID() }
    assert.match(await sentDuring(async () => assert.equal((await write(key)).status, status)), withKey)
    assert.match(await sentDuring(async () => assert.equal((await write(key)).status, status)), again)
  }
})

test('a key costs two where nothing is done: a request that is not valid, another request with the key', async () => {
  const user = service.as(newUser())
  const key = { 'idempotency-key': randomUUID() }
  for (const form of [new RegExp(`^${claim}(P?BE){2}S$`), again]) {
    assert.match(await sentDuring(async () => user.post('/api/me/tasks', {}, key)), form)
  }
  const reused = async () => {
    const { body } = await user.post('/api/me/tasks', { title: 'x' }, key)
    assert.equal(body.error.code, 'IDEMPOTENCY_KEY_REUSED')
  }
  assert.match(await sentDuring(reused), again)
})

/** 100 operations, each of another kind than the one before, and 100 creates: the most and the fewest statements. */
const batchesOf = (id: string): readonly unknown[][] => [
  Array.from({ length: 100 }, (_, at) =>
    at % 2 === 0
      ? { op: 'create', task: { title: 'x' } }
      : { op: 'update', id, changes: { title: `Title ${at}` } },
  ),
  Array.from({ length: 100 }, () => ({ op: 'create', task: { title: 'x' } })),
  [{ op: 'update', id, changes: {} }],
]
const gone = { op: 'delete', id: randomUUID() }
const batchCosts = [
  ['independent', [], {}, 200, 1, 'the scope, the lock and its statements'],
  ['independent', [gone], {}, 200, 1, 'whatever fails'],
  ['atomic', [], {}, 200, 2, 'the statements, then the commit'],
  ['atomic', [gone], {}, 404, 2, 'the statements, then the rollback'],
  ['independent', [], { 'idempotency-key': 'a' }, 200, 3, 'the key, the statements, then answer and commit'],
  ['atomic', [gone], { 'idempotency-key': 'b' }, 404, 3, 'the same, with a savepoint'],
] as const
for (const [mode, failing, headers, status, trips, why] of batchCosts) {
  const kind = `${mode} batch ${'idempotency-key' in headers ? 'with a key ' : ''}that answers ${status}`
  test(`a ${kind} costs ${trips}, whatever is in it: ${why}`, async () => {
    const user = service.as(newUser())
    const { id } = await makeTask(user)
    for (const [place, operations] of batchesOf(id).entries()) {
      const body = { mode, operations: [...operations.slice(failing.length), ...failing] }
      if (body.operations.length === 0) continue
      const own = Object.entries(headers).map(([name, value]) => [name, `${value}${place}`])
      const sent = await sentDuring(async () => {
        const answer = await user.post('/api/me/tasks/batch', body, Object.fromEntries(own))
        assert.equal(answer.status, status, answer.text)
      })
      assert.equal([...sent].filter((type) => type === sync || type === query).length, trips, sent)
    }
  })
}

test('100 creates of a batch are one statement', async () => {
  const user = service.as(newUser())
  const operations = Array.from({ length: 100 }, () => ({ op: 'create', task: { title: 'x' } }))
  const sent = await sentDuring(() => user.post('/api/me/tasks/batch', { mode: 'independent', operations }))
  assert.match(sent, /^BEP?BEP?BES$/)
})

test('an atomic batch that meets another version costs one more, to show the task as it is', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const operations = [{ op: 'delete', id, if_version: 9 }]
  const sent = await sentDuring(async () => {
    assert.equal((await user.post('/api/me/tasks/batch', { operations })).status, 412)
  })
  assert.equal([...sent].filter((type) => type === sync || type === query).length, 3, sent)
})

test('an import costs a round trip for 500 lines and its commit, an export one for a page and its commit', async () => {
  const user = service.as(newUser())
  const importLines =
    (count: number, query = '') =>
    () =>
      user.request('POST', `/api/me/import${query}`, {
        raw: Array.from({ length: count }, () => `{"title":"x"}\n`).join(''),
        headers: { 'content-type': 'application/x-ndjson' },
      })
  for (const [trips, request] of [
    [2, importLines(500)],
    [3, importLines(501)],
    [2, importLines(1, '?dry_run=true')],
    [0, importLines(0)],
    [4, () => user.get('/api/me/export')],
    [0, () => user.request('HEAD', '/api/me/export')],
    // The counter, three pages of tasks, deletions, keys, commit.
    [7, () => user.delete('/api/me/data', { confirm: 'erase' })],
  ] as const) {
    const sent = await sentDuring(async () => assert.equal((await request()).status, 200))
    assert.equal([...sent].filter((type) => type === sync).length, trips, String(request))
  }
})

test('what is refused before the database costs nothing', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const task = `/api/me/tasks/${id}`
  for (const [status, request] of [
    [401, () => service.anonymous().get(task)],
    [401, () => service.anonymous('Bearer x').delete(task)],
    [403, () => user.get(`/api/${newUser()}/tasks/${id}`)],
    [403, () => user.post(`/api/${newUser()}/tasks`, { title: 'x' })],
    [404, () => user.get('/api/me/nothing')],
    [405, () => user.request('DELETE', '/api/me/tasks')],
    [415, () => user.post('/api/me/tasks', { title: 'x' }, { 'content-type': 'text/plain' })],
    [
      400,
      () =>
        user.request('POST', '/api/me/tasks', { raw: '{', headers: { 'content-type': 'application/json' } }),
    ],
    [422, () => user.post('/api/me/tasks', { title: '' })],
    [422, () => user.post('/api/me/tasks', { title: 'x' }, { 'idempotency-key': '' })],
    [401, () => service.anonymous().post('/api/me/tasks', { title: 'x' }, { 'idempotency-key': 'key' })],
    [422, () => user.get('/api/me/tasks/x')],
    [422, () => user.post(`${task}/restore`, {})],
    [400, () => user.get('/api/me/trash?cursor=x')],
    [412, () => user.delete('/api/me/trash', { 'if-match': '"1"' })],
    [422, () => user.post('/api/me/tasks/batch', { operations: [] })],
    [422, () => user.post('/api/me/tasks/batch', { operations: [gone, null] })],
    [200, () => user.post('/api/me/tasks/batch', { mode: 'independent', operations: [null] })],
    [422, () => user.patch(task, { title: 'y' }, { 'if-match': '1' })],
    [400, () => user.get('/api/me/tasks?cursor=x')],
    [400, () => user.get('/api/me/changes?since=x')],
    [200, () => user.get('/health')],
    [200, () => user.get('/openapi.json')],
  ] as const) {
    const sent = await sentDuring(async () => assert.equal((await request()).status, status, String(request)))
    assert.equal(sent, '', String(request))
  }
})

test('a user needs no transaction of several messages, and no text is sent with values in it', async () => {
  const user = service.as(newUser())
  const texts = tap.texts.length
  const { id } = await makeTask(user, { title: 'a title that is only a value' })
  for (const [, operation, prepare] of Object.values(operations)) {
    await prepare?.(user, id)
    await operation(user, id)
  }
  assert.ok(tap.texts.length > 0, 'the tap reads texts')
  for (const text of tap.texts.slice(texts))
    assert.doesNotMatch(text, /^\s*(begin|commit|set)\b|only a value/i)
})
