import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { assertError, assertPage, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'
import { sendRaw, sendRequest } from '../support/raw-http.ts'

const service = await startApp()

const taskPath = `/api/me/tasks/${randomUUID()}`
const allowed: readonly (readonly [path: string, methods: readonly string[]])[] = [
  ['/health', ['GET', 'HEAD']],
  ['/ready', ['GET', 'HEAD']],
  ['/openapi.json', ['GET', 'HEAD']],
  ['/docs', ['GET', 'HEAD']],
  ['/api/me/tasks', ['GET', 'HEAD', 'POST']],
  [taskPath, ['DELETE', 'GET', 'HEAD', 'PATCH', 'PUT']],
  [`${taskPath}/complete`, ['PATCH']],
  ['/%61pi/%6De/tasks', ['GET', 'HEAD', 'POST']],
  ['/api/me/tasks?limit=0', ['GET', 'HEAD', 'POST']],
]
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']
methods.push(
  'PROPFIND',
  'PROPPATCH',
  'MKCOL',
  'COPY',
  'MOVE',
  'LOCK',
  'UNLOCK',
  'SEARCH',
  'REPORT',
  'PURGE',
  'QUERY',
  'LINK',
)
for (const [path, own] of allowed) {
  test(`${path} answers 405 with Allow to every method but ${own}`, async () => {
    const { token } = service.as(newUser())
    for (const method of methods.filter((each) => !own.includes(each))) {
      const answer = await sendRequest(service.url, [
        `${method} ${path} HTTP/1.1`,
        `Authorization: Bearer ${token}`,
      ])
      if (method === 'HEAD') assert.equal(answer.status, 405)
      else assertError(answer, 405, 'METHOD_NOT_ALLOWED')
      assert.equal(answer.headers.get('allow'), own.join(', '))
    }
  })
}

test('a path that no route has is ROUTE_NOT_FOUND under every method', async () => {
  const user = service.as(newUser())
  const paths = [
    '/',
    '/nothing',
    '/health/',
    '/healthy',
    '/Health',
    '/API/me/tasks',
    '//api/me/tasks',
    '/api',
    '/api/',
  ]
  paths.push(
    '/api/me',
    '/api/other',
    '/api/me/',
    '/api/me/task',
    '/api/me/Tasks',
    '/api/me//tasks',
    '/api/me/tasks;x',
  )
  paths.push(
    `${taskPath}/`,
    `${taskPath}/completed`,
    `${taskPath}/complete/`,
    '/api%2Fme%2Ftasks',
    '/api/me%2Ftasks',
  )
  for (const path of paths) {
    for (const method of methods.filter((each) => each !== 'HEAD')) {
      const answer = await sendRequest(service.url, [
        `${method} ${path} HTTP/1.1`,
        `Authorization: Bearer ${user.token}`,
      ])
      assertError(answer, 404, 'ROUTE_NOT_FOUND')
      assert.equal(answer.headers.get('allow'), null)
    }
  }
})

const spellings = ['/api', '/%61pi', '/%61%70%69', '/ap%69', 'http://elsewhere/api', 'http://elsewhere/%61pi']
for (const api of spellings) {
  test(`${api}/… needs a token and is the user's own alone, whether a route matches or not`, async () => {
    const user = service.as(newUser())
    const authorization = `Authorization: Bearer ${user.token}`
    const victim = newUser()
    const own = ['me', '%6D%65', user.userId]
    const foreign = [
      victim,
      `%${victim.charCodeAt(0).toString(16)}${victim.slice(1)}`,
      'Me',
      'me%20',
      'm%65%2F',
    ]
    for (const rest of ['tasks', `tasks/${randomUUID()}`, 'nothing', 'nothing/at/all', '']) {
      for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS', 'PROPFIND']) {
        for (const name of [...own, ...foreign]) {
          const line = `${method} ${api}/${name}/${rest} HTTP/1.1`
          assertError(await sendRequest(service.url, [line]), 401, 'TOKEN_MISSING')
          const answer = await sendRequest(service.url, [line, authorization])
          if (own.includes(name)) assert.ok([200, 404, 405, 422].includes(answer.status), answer.text)
          else assertError(answer, 403, 'FORBIDDEN')
        }
      }
    }
  })
}

test('a part of a path may be as long as Node lets in', async () => {
  const user = service.as(newUser())
  const long = 'x'.repeat(12_000)
  const path = `/api/me/tasks/${long}`
  assertError(await service.anonymous().get(path), 401, 'TOKEN_MISSING')
  assertError(await user.get(path), 422, 'VALIDATION_FAILED', [['params/task_id', 'format']])
  assertError(await user.post(path, {}), 405, 'METHOD_NOT_ALLOWED')
  assertError(await user.get(`/api/${long}/tasks`), 403, 'FORBIDDEN')
  assertError(await user.get(`${path}xxxxx`.repeat(2)), 431, 'HEADERS_TOO_LARGE')
})

test('an absolute-form target is served like its path', async () => {
  const user = service.as(newUser())
  const task = await makeTask(user)
  const authorization = `Authorization: Bearer ${user.token}`
  const lines = [`GET http://elsewhere:1/api/me/tasks?limit=1 HTTP/1.1`, authorization]
  assert.deepEqual(assertPage(await sendRequest(service.url, lines)).tasks, [task])
  const own = [`GET https://elsewhere/api/${user.userId}/tasks/${task.id} HTTP/1.1`, authorization]
  assert.deepEqual(assertTask(await sendRequest(service.url, own), 200), task)
})

test('OPTIONS * is answered in the envelope', async () => {
  assertError(await sendRequest(service.url, ['OPTIONS * HTTP/1.1']), 404, 'ROUTE_NOT_FOUND')
})

test('CONNECT is refused', async () => {
  const answers = await sendRaw(service.url, 'CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n')
  for (const { status } of answers) assert.ok(status >= 400)
})
