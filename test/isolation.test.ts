import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { FastifyRequest } from 'fastify'
import { createGuard } from '../src/auth/guard.ts'
import { createVerifier } from '../src/auth/verifier.ts'
import type { Database } from '../src/db/database.ts'
import { AppError } from '../src/errors.ts'
import { type App, createServer, type Guard } from '../src/http/server.ts'
import { createLogger } from '../src/ops/logging.ts'
import { Live } from '../src/tasks/live.ts'
import { registerTaskRoutes } from '../src/tasks/routes/index.ts'
import { newUser, startApp, testSecret } from './support/app.ts'
import { type AttackKind, attack, makeVictim, snapshot, tryAsOwner, type Victim } from './support/attacks.ts'
import { findGaps, isolationCases, type Loot } from './support/isolation-cases.ts'
import { documentedRoutes, registeredRoutes } from './support/routes.ts'

const service = await startApp({ streams: { heartbeatMs: 20 } })
const routes = registeredRoutes(service.app)

test('every registered route has a case and every case a route', () => {
  assert.deepEqual(findGaps(routes, isolationCases), [])
})

test('the routes read from the router hold every operation of the OpenAPI document', () => {
  const documented = documentedRoutes(service.app)
  assert.ok(documented.length > 0)
  assert.deepEqual(
    documented.filter((route) => !routes.includes(route)),
    [],
  )
})

test("no route lets anyone at another user's data", async (t) => {
  let attacks = 0
  for (const [route, each] of Object.entries(isolationCases)) {
    await t.test(route, async () => {
      const victim = await makeVictim(service.url)
      const before = await snapshot(service.testDatabase, victim.userId)
      const outcome = await attack(service.url, route, each, victim)
      assert.deepEqual(outcome.problems, [])
      assert.equal(await snapshot(service.testDatabase, victim.userId), before)
      assert.equal(await tryAsOwner(service.url, route, each), undefined)
      attacks += outcome.attacks
    })
  }
  t.diagnostic(`isolation: ${Object.keys(isolationCases).length} routes, ${attacks} attacks`)
})

// That the matrix bites: services that lack one wall, or have one route more, must be found out.

type Leak = { readonly guard: Guard; readonly database?: Database; readonly addRoutes?: (app: App) => void }

async function startLeaky({ guard, database = service.database, addRoutes }: Leak): Promise<App> {
  const logger = createLogger('silent')
  const app = createServer({ logger, observe() {}, guard, isStopping: () => false })
  app.decorateRequest('userId', '')
  const live = new Live({ database, log: logger, heartbeatMs: 20 })
  app.addHook('preClose', () => live.close())
  registerTaskRoutes(app, { database, live })
  addRoutes?.(app)
  await app.listen({ host: '127.0.0.1', port: 0 })
  after(() => app.close())
  return app
}

/** The user that a token names, unverified. */
function readTokenUser({ headers }: FastifyRequest): string | undefined {
  const payload = headers.authorization?.startsWith('Bearer ')
    ? headers.authorization.split('.')[1]
    : undefined
  return payload === undefined ? undefined : JSON.parse(Buffer.from(payload, 'base64url').toString()).sub
}

function readPathUser({ originalUrl }: FastifyRequest): string {
  return decodeURIComponent(originalUrl.split('/')[2] ?? '')
}

const trustingThePath: Guard = async (request) => {
  const user = readTokenUser(request)
  if (user === undefined) throw new AppError('TOKEN_MISSING')
  request.userId = readPathUser(request) === 'me' ? user : readPathUser(request)
}

const realGuard = createGuard(createVerifier({ secrets: [testSecret], clockToleranceS: 5 }))

const leaks: readonly (readonly [kind: AttackKind, name: string, make: (victim: Victim) => Leak])[] = [
  ["on the victim's path", 'trusts the path', () => ({ guard: trustingThePath })],
  [
    'without a token',
    'takes everyone without a Bearer token for one user',
    ({ userId }) => ({
      async guard(request, reply) {
        if (readTokenUser(request) !== undefined) await realGuard(request, reply)
        else request.userId = userId
      },
    }),
  ],
  [
    'on a path of their own',
    'has one scope for all users',
    ({ userId }) => ({
      guard: realGuard,
      database: { ...service.database, scopeFor: () => service.database.scopeFor(userId) },
    }),
  ],
]
for (const [kind, name, make] of leaks) {
  for (const [route, each] of Object.entries(isolationCases)) {
    // The head of another user's list or export is that of one's own, and a stream that begins now has nothing to show yet.
    if (kind === 'on a path of their own' && /^HEAD \S+\/(tasks|trash|changes|export)$|\/stream$/.test(route))
      continue
    test(`the attacks on ${route} find out a service that ${name}`, async () => {
      const victim = await makeVictim(service.url)
      const url = urlOf(await startLeaky(make(victim)))
      const fewer = { ...each, variants: (loot: Loot) => each.variants(loot).slice(0, 2) }
      const { problems } = await attack(url, route, fewer, victim, kind)
      assert.notDeepEqual(problems, [])
    })
  }
}

test('a route without a case and a case without a route are found out', async () => {
  const app = await startLeaky({
    guard: realGuard,
    addRoutes(leaky) {
      leaky.get('/api/:user_id/tasks/:task_id/history', async () => ({}))
      leaky.post('/api/import', { schema: { hide: true } }, async () => ({}))
      leaky.register(async (plugin) => plugin.delete('/everything', async () => ({})))
    },
  })
  const missing = ['/api/:user_id/tasks/:task_id/history', '/api/import', '/everything']
  const gaps = findGaps(registeredRoutes(app), isolationCases)
  assert.deepEqual(
    gaps.sort(),
    [`GET ${missing[0]}`, `HEAD ${missing[0]}`, `POST ${missing[1]}`, `DELETE ${missing[2]}`]
      .map((route) => `${route} is registered and has no case`)
      .sort(),
  )
  const more = { ...isolationCases, 'GET /api/:user_id/nothing': {} }
  assert.deepEqual(findGaps(routes, more), ['GET /api/:user_id/nothing has a case and is not registered'])
})

test('the snapshot of a user tells even a write that changes no value', async () => {
  const { query } = service.testDatabase
  for (const table of ['app.tasks', 'app.change_counters', 'app.idempotency_keys']) {
    const { userId } = await makeVictim(service.url)
    const before = await snapshot(service.testDatabase, userId)
    assert.equal(await snapshot(service.testDatabase, userId), before)
    await query(`update ${table} set user_id = user_id where user_id = $1`, [userId])
    assert.notEqual(await snapshot(service.testDatabase, userId), before)
  }
  assert.equal(await snapshot(service.testDatabase, newUser()), '[]')
})

function urlOf({ server }: App): string {
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return `http://127.0.0.1:${address.port}`
}
