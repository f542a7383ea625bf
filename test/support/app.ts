import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import { after } from 'node:test'
import { type AppDependencies, type Commits, createApp } from '../../src/app.ts'
import { createVerifier } from '../../src/auth/verifier.ts'
import { signToken } from '../../src/cli/sign-token.ts'
import { type Database, openDatabase } from '../../src/db/database.ts'
import type { App } from '../../src/http/server.ts'
import { createLogger } from '../../src/ops/logging.ts'
import type { Task } from '../../src/tasks/task.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

export const testSecret = 'k3Vw9-test-secret-of-the-suite-Qz7Lp0'

export type LogLine = Readonly<Record<string, unknown>>

export type TestService = {
  readonly url: string
  readonly app: App
  readonly database: Database
  readonly testDatabase: TestDatabase
  /** Everything logged so far. */
  readonly logs: LogLine[]
  /** A client with a valid token of this user. */
  as(userId: string): Client
  /** A client without a token, or with the given Authorization header. */
  anonymous(authorization?: string): Client
  stop(): Promise<void>
}

export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; tests read it as what they expect it to be. */
  // biome-ignore lint/suspicious/noExplicitAny: an assertion on any member of an answer is the point of a test
  readonly body: any
}

export type Client = {
  readonly userId: string
  readonly token: string
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  put(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  patch(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  delete(path: string, headers?: Record<string, string>): Promise<Answer>
}

type RequestOptions = {
  readonly headers?: Record<string, string>
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is; the content type is then the caller's to give. */
  readonly raw?: string | Uint8Array<ArrayBuffer>
}

/**
 * The service of one test file: listening on a port that the system gave, over a database of its own. Stopped and
 * dropped when the file ends.
 */
export async function startApp(
  options: {
    testDatabase?: TestDatabase
    poolMax?: number
    maxWaiting?: number
    clockToleranceS?: number
  } & Pick<
    AppDependencies,
    'streams' | 'metrics' | 'limits' | 'trustProxy' | 'corsOrigins' | 'bounds' | 'loopDelay'
  > = {},
): Promise<TestService> {
  const { testDatabase: given, poolMax = 10, maxWaiting, clockToleranceS = 5, ...parts } = options
  const testDatabase = given ?? (await createTestDatabase())
  const logs: LogLine[] = []
  const logger = createLogger('info', memory(logs))
  const commits: Commits = new EventEmitter()
  const database = openDatabase({
    connection: testDatabase.connection,
    poolMax,
    // A test run may keep a machine busier than it likes; test/db/queue.test.ts has the bound in time.
    maxWaitMs: Number.POSITIVE_INFINITY,
    ...(maxWaiting !== undefined && { maxWaiting }),
    onCommit: (userId) => commits.emit('commit', userId),
  })
  await database.prepare()
  const verifier = createVerifier({ secrets: [testSecret], clockToleranceS })
  // Off when left out, for the same reason.
  const app = await createApp({ database, commits, verifier, logger, loopDelay: 'off', ...parts })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  let stopped: Promise<void> | undefined
  const stopOnce = async () => {
    await app.close()
    await database.close()
    if (given === undefined) await testDatabase.drop()
  }
  const stop = () => {
    stopped ??= stopOnce()
    return stopped
  }
  after(stop)
  return {
    url,
    app,
    database,
    testDatabase,
    logs,
    as(userId) {
      const token = signToken({ secret: testSecret, userId })
      return client(url, userId, token, `Bearer ${token}`)
    },
    anonymous: (authorization) => client(url, '', '', authorization),
    stop,
  }
}

/** A user nobody else has: 32 letters and digits, as Better Auth makes them. */
export function newUser(): string {
  return randomBytes(16).toString('hex')
}

/** Creates a task through the API and returns it as answered. */
export async function makeTask(user: Client, fields: Record<string, unknown> = {}): Promise<Task> {
  const answer = await user.post('/api/me/tasks', { title: 'A task', ...fields })
  if (answer.status !== 201) throw new Error(`The task was not created: ${answer.text}`)
  return answer.body.data
}

function client(url: string, userId: string, token: string, authorization: string | undefined): Client {
  const request: Client['request'] = async (method, path, { headers = {}, json, raw } = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(authorization !== undefined && { authorization }),
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(raw !== undefined && { body: raw }),
      redirect: 'manual',
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson && text ? JSON.parse(text) : undefined,
    }
  }
  return {
    userId,
    token,
    request,
    get: (path, headers = {}) => request('GET', path, { headers }),
    post: (path, json, headers = {}) => request('POST', path, { json, headers }),
    put: (path, json, headers = {}) => request('PUT', path, { json, headers }),
    patch: (path, json, headers = {}) => request('PATCH', path, { json, headers }),
    delete: (path, headers = {}) => request('DELETE', path, { headers }),
  }
}

/** A destination of a logger that keeps its lines. */
export function memory(lines: LogLine[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split('\n').filter(Boolean)) lines.push(JSON.parse(line))
      done()
    },
  })
}
