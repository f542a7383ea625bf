/** What an attack knows of the data that it is after: a user's own, or nobody's. */
export type Loot = {
  readonly id: string
  readonly title: string
  readonly description: string
  readonly etag: string
  readonly cursor: string
  /** An Idempotency-Key that has an answer. */
  readonly key: string
  /** Of their changes: half of the first state is read. */
  readonly changesCursor: string
}

export type RequestVariant = {
  /** Appended to the path. */
  readonly query?: string
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is. */
  readonly raw?: string
  readonly headers?: Readonly<Record<string, string>>
}

export type IsolationCase = {
  /**
   * Whether the path names a task. If so, another user's task must be answered as one that does not exist, byte for
   * byte; else the answer must not depend on another user's data in any way.
   */
  readonly namesTask: boolean
  /** Requests that carry what the attack knows, in each place of the request that can hold it. */
  readonly variants: (loot: Loot) => readonly RequestVariant[]
  /** A request that its owner succeeds with: shows that the attacks fail for what they are after, not for their form. */
  readonly ownersRequest: RequestVariant
}

const read: IsolationCase = { namesTask: true, variants: () => [{}], ownersRequest: {} }

const list: IsolationCase = {
  namesTask: false,
  variants: ({ cursor, id, title, description }) => [
    {},
    { query: `?q=${encodeURIComponent(title)}&count=true` },
    { query: `?q=${encodeURIComponent(description)}&sort=title&completed=true` },
    { query: '?sort=-updated_at&count=true&updated_after=2000-01-01T00:00:00Z' },
    { query: `?cursor=${cursor}&sort=-created_at&count=true` },
    { query: `?cursor=${cursor}` },
    { query: `?cursor=${cursor}&limit=1` },
    { query: `?cursor=${cursor}&completed=true` },
    { query: `?completed=true` },
    { query: `?id=${id}` },
  ],
  ownersRequest: {},
}

const trash: IsolationCase = {
  namesTask: false,
  variants: ({ cursor }) => [{}, { query: `?cursor=${cursor}` }, { query: '?limit=1&count=true' }],
  ownersRequest: {},
}

const changes: IsolationCase = {
  namesTask: false,
  variants: ({ cursor, changesCursor }) => [
    {},
    { query: `?since=${changesCursor}` },
    { query: `?since=${cursor}` },
    { query: `?cursor=${changesCursor}` },
  ],
  ownersRequest: {},
}

const wholeData: IsolationCase = {
  namesTask: false,
  variants: ({ id, cursor }) => [{}, { query: `?id=${id}` }, { query: `?cursor=${cursor}` }],
  ownersRequest: {},
}

const change: IsolationCase = {
  namesTask: true,
  variants: ({ title, description, id }) => [
    { json: { title: 'Taken over' } },
    { json: { description: null, completed: false } },
    { json: { title, description, completed: true } },
    { json: { title: 'Taken over', id } },
  ],
  ownersRequest: { json: { title: 'Changed' } },
}

const batch: IsolationCase = {
  namesTask: false,
  variants: ({ id, title, description, etag }) => {
    const version = Number(etag.slice(1, -1))
    const operations = [
      { op: 'create', task: { id, title, description, completed: true } },
      { op: 'create', task: { id, title: 'Taken over' } },
      { op: 'update', id, changes: { title: 'Taken over' } },
      { op: 'update', id: id.toUpperCase(), changes: { title: 'Taken over' }, if_version: version },
      { op: 'delete', id },
      { op: 'delete', id, if_version: version },
    ]
    return [
      ...operations.map((each) => ({ json: { operations: [each] } })),
      ...operations.map((each) => ({ json: { mode: 'independent', operations: [each] } })),
      { json: { mode: 'independent', operations: operations.slice(2) } },
      // The attacker's own task of this id may come to have any version.
      { json: { mode: 'independent', operations: operations.filter((each) => !('if_version' in each)) } },
    ]
  },
  ownersRequest: { json: { operations: [{ op: 'create', task: { title: 'New' } }] } },
}

/** An import of lines; each variant has one that names what the attack is after. */
function importOf(...lines: readonly object[]): RequestVariant {
  return {
    raw: lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
    headers: { 'content-type': 'application/x-ndjson' },
  }
}

const erase: RequestVariant = { headers: { confirm: 'erase' } }

/** The attacks on each registered route under /api, by `METHOD /path`. */
export const isolationCases: Readonly<Record<string, IsolationCase>> = {
  'GET /api/:user_id/tasks': list,
  'HEAD /api/:user_id/tasks': list,
  'POST /api/:user_id/tasks': {
    namesTask: false,
    variants: ({ id, title, description }) => [
      { json: { title: 'New' } },
      { json: { id, title: 'Taken over' } },
      { json: { id: id.toUpperCase(), title: 'Taken over' } },
      { json: { id, title, description, completed: true } },
      // The very request that the victim's key has an answer to.
      { json: { title, description, completed: true } },
    ],
    ownersRequest: { json: { title: 'New' } },
  },
  'POST /api/:user_id/tasks/batch': batch,
  'GET /api/:user_id/changes': changes,
  'HEAD /api/:user_id/changes': changes,
  'GET /api/:user_id/changes/stream': changes,
  'HEAD /api/:user_id/changes/stream': changes,
  'GET /api/:user_id/tasks/:task_id': read,
  'HEAD /api/:user_id/tasks/:task_id': read,
  'DELETE /api/:user_id/tasks/:task_id': read,
  'PUT /api/:user_id/tasks/:task_id': change,
  'PATCH /api/:user_id/tasks/:task_id': {
    ...change,
    variants: (loot) => [{ json: {} }, ...change.variants(loot)],
  },
  'POST /api/:user_id/tasks/:task_id/restore': read,
  'GET /api/:user_id/trash': trash,
  'HEAD /api/:user_id/trash': trash,
  'DELETE /api/:user_id/trash': { namesTask: false, variants: () => [{}], ownersRequest: {} },
  'DELETE /api/:user_id/trash/:task_id': read,
  'PATCH /api/:user_id/tasks/:task_id/complete': {
    namesTask: true,
    variants: () => [{}, { json: { completed: true } }, { json: { completed: false } }],
    ownersRequest: {},
  },
  'GET /api/:user_id/export': wholeData,
  'HEAD /api/:user_id/export': wholeData,
  'POST /api/:user_id/import': {
    namesTask: false,
    variants: ({ id, title, description }) => [
      importOf({ id, title: 'Taken over' }),
      importOf({ id, title, description, completed: true }),
      importOf({
        id: id.toUpperCase(),
        user_id: 'me',
        title: 'Taken over',
        deleted_at: '2026-01-01T00:00:00Z',
      }),
      { ...importOf({ id, title }, { title: 'New' }), query: '?dry_run=true' },
    ],
    ownersRequest: importOf({ title: 'New' }),
  },
  'DELETE /api/:user_id/data': {
    namesTask: false,
    variants: ({ id }) => [erase, { ...erase, query: `?id=${id}` }],
    ownersRequest: erase,
  },
}

/** Routes outside /api: they know no user. */
const open = /^(GET|HEAD) \/(health|ready|openapi\.json|docs(\/.*)?)$/

/** The registered routes that have no case and the cases that have no route, in words. */
export function findGaps(routes: readonly string[], cases: Readonly<Record<string, unknown>>): string[] {
  const needed = routes.filter((route) => !open.test(route))
  return [
    ...needed.filter((route) => !(route in cases)).map((route) => `${route} is registered and has no case`),
    ...Object.keys(cases)
      .filter((route) => !needed.includes(route))
      .map((route) => `${route} has a case and is not registered`),
  ]
}
