import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { createGuard } from '../../src/auth/guard.ts'
import { createVerifier } from '../../src/auth/verifier.ts'
import { type App, createServer } from '../../src/http/server.ts'
import { answerOnce } from '../../src/idempotency/answer-once.ts'
import { registerIdempotency } from '../../src/idempotency/idempotent-routes.ts'
import { IdempotencyHeaders } from '../../src/idempotency/schema.ts'
import { createLogger } from '../../src/ops/logging.ts'
import { type Answer, makeTask, newUser, startApp, testSecret } from '../support/app.ts'
import { isolationCases, type RequestVariant } from '../support/isolation-cases.ts'
import { registeredRoutes } from '../support/routes.ts'
import { assertReplay } from './kept-answers.ts'

// Every POST and PATCH under /api takes a key, also one that is added later.

const service = await startApp()

/** Those that take none: the whole of an import is idempotent by its ids, and Better Auth has rules of its own. */
const withoutKey = /^POST \/api\/(:user_id\/import|auth\/.*)$/

const keyed = registeredRoutes(service.app).filter(
  (route) => /^(POST|PATCH) \/api\//.test(route) && !withoutKey.test(route),
)

/** Sends a request to a route as a user who has the task that its path names. */
async function sendTo(
  url: string,
  route: string,
  variant: RequestVariant,
  key: string,
): Promise<() => Promise<Answer>> {
  const user = service.as(newUser())
  const [method = '', pattern = ''] = route.split(' ')
  const { id } = await makeTask(user)
  const path = `${pattern.replace(':user_id', 'me').replace(':task_id', id)}${variant.query ?? ''}`
  return async () => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${user.token}`,
        'idempotency-key': key,
        ...(variant.json !== undefined && { 'content-type': 'application/json' }),
      },
      ...(variant.json !== undefined && { body: JSON.stringify(variant.json) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: JSON.parse(text) }
  }
}

/** What is wrong with a route, in words, when its requests with a key are not answered once. */
async function findFault(url: string, route: string, variant: RequestVariant): Promise<string | undefined> {
  const malformed = await (await sendTo(url, route, variant, 'a b'))()
  const details: readonly { path: string }[] = malformed.body.error?.details ?? []
  if (!details.some(({ path }) => path === 'headers/idempotency-key')) return `${route} takes a malformed key`
  for (const each of [variant, { ...variant, query: '?unknown=1' }]) {
    const send = await sendTo(url, route, each, randomUUID())
    const first = await send()
    if (first.status >= 500) return `${route} fails: ${first.text}`
    if (each === variant && first.status >= 300) return `${route} refuses its owner: ${first.text}`
    try {
      assertReplay(await send(), first)
    } catch (error) {
      return `${route} does not answer once: ${error}`
    }
  }
  return undefined
}

test('there are such routes', () => {
  assert.ok(keyed.includes('POST /api/:user_id/tasks') && keyed.length >= 3)
})

for (const route of keyed) {
  test(`${route} is answered once for each key, when it succeeds and when its form is wrong`, async () => {
    const each = isolationCases[route]
    assert.ok(each, 'a route needs a case in test/support/isolation-cases.ts')
    assert.equal(await findFault(service.url, route, each.ownersRequest), undefined)
  })
}

// That these tests find out a route which is not set up, or not as it must be.

async function startWith(addRoutes: (app: App) => void, isSetUp = true): Promise<App> {
  const guard = createGuard(createVerifier({ secrets: [testSecret], clockToleranceS: 5 }))
  const logger = createLogger('silent')
  const app = createServer({ logger, observe() {}, guard, isStopping: () => false })
  app.decorateRequest('userId', '')
  if (isSetUp) registerIdempotency(app, service.database)
  addRoutes(app)
  after(() => app.close())
  await app.ready()
  return app
}

const url = '/api/:user_id/tasks/:task_id/copies'
const schema = { headers: IdempotencyHeaders, querystring: { type: 'object', additionalProperties: false } }
const config = { idempotent: true }
const answer = { status: 200, data: {} }

const faulty: Readonly<Record<string, (app: App) => void>> = {
  'that is not marked': (app) =>
    app.post(url, { schema: { querystring: schema.querystring } }, async () => ({})),
  'that checks the header and is not marked': (app) =>
    app.post(url, { schema }, async () => ({ data: randomUUID() })),
  'that is marked and answers by itself': (app) =>
    app.post(url, { schema, config }, async () => ({ data: randomUUID() })),
  'that is not marked and uses answerOnce': (app) =>
    app.post(url, { schema }, (request, reply) =>
      answerOnce(service.database, request, reply, async () => answer),
    ),
}

for (const [name, addRoutes] of Object.entries(faulty)) {
  test(`a route ${name} is found out`, async () => {
    const app = await startWith(addRoutes)
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    assert.notEqual(await findFault(address, `POST ${url}`, {}), undefined)
  })
}

test('a route that is set up as it must be is not', async () => {
  const app = await startWith((each) =>
    each.post(url, { schema, config }, (request, reply) =>
      answerOnce(service.database, request, reply, async () => answer),
    ),
  )
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  assert.equal(await findFault(address, `POST ${url}`, {}), undefined)
})

test('the same path with another method is another request', async () => {
  const app = await startWith((each) => {
    each.route({
      method: ['POST', 'PATCH'],
      url,
      schema,
      config,
      handler: (request, reply) => answerOnce(service.database, request, reply, async () => answer),
    })
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const headers = { authorization: `Bearer ${service.as(newUser()).token}`, 'idempotency-key': 'key' }
  const path = `${address}/api/me/tasks/${randomUUID()}/copies`
  const statuses: number[] = []
  for (const method of ['POST', 'PATCH', 'POST'])
    statuses.push((await fetch(path, { method, headers })).status)
  assert.deepEqual(statuses, [200, 422, 200])
})

test('a marked route that does not check the header stops the start', async () => {
  for (const headers of [undefined, { type: 'object', properties: {} }]) {
    const adding = startWith((app) => app.post(url, { schema: { headers }, config }, async () => ({})))
    await assert.rejects(adding, /does not check its header/)
  }
})

test('answerOnce does nothing for a route that is not marked, or not set up', async () => {
  for (const [isSetUp, marking] of [
    [true, {}],
    [false, config],
  ] as const) {
    let performed = 0
    const perform = async () => {
      performed++
      return answer
    }
    const app = await startWith((each) => {
      each.post(url, { schema, config: marking }, (request, reply) =>
        answerOnce(service.database, request, reply, perform),
      )
    }, isSetUp)
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    const failed = await (await sendTo(address, `POST ${url}`, {}, randomUUID()))()
    assert.deepEqual([failed.status, performed], [500, 0])
  }
})

test('the handler of a marked route never runs with a request that fails validation, set up or not', async () => {
  for (const isSetUp of [true, false]) {
    let runs = 0
    const app = await startWith((each) => {
      each.post(url, { schema, config }, async () => {
        runs++
        return {}
      })
    }, isSetUp)
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    const refused = await (await sendTo(address, `POST ${url}`, { query: '?unknown=1' }, randomUUID()))()
    assert.deepEqual([refused.status, refused.body.error.code, runs], [422, 'VALIDATION_FAILED', 0])
  }
})
