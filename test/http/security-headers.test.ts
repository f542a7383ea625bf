import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Answer, newUser, startApp } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { sendRequest } from '../support/raw-http.ts'

const testDatabase = await createTestDatabase()
const service = await startApp({ testDatabase })
after(() => testDatabase.drop())
const user = service.as(newUser())

function assertSafe({ headers }: Answer, policy = "default-src 'none'; frame-ancestors 'none'"): void {
  assert.equal(headers.get('content-security-policy'), policy)
  assert.equal(headers.get('x-content-type-options'), 'nosniff')
  assert.equal(headers.get('referrer-policy'), 'no-referrer')
  assert.equal(headers.get('cross-origin-resource-policy'), 'same-origin')
  for (const name of ['x-powered-by', 'server', 'strict-transport-security']) {
    assert.equal(headers.get(name), null, name)
  }
}

test('every answer has the security headers, errors too', async () => {
  const created = await user.post('/api/me/tasks', { title: 'x' })
  const path = created.headers.get('location') ?? ''
  const etag = created.headers.get('etag') ?? ''
  const answers = [
    created,
    await user.get(path),
    await user.get(path, { 'if-none-match': etag }),
    await user.request('HEAD', path),
    await user.get('/api/me/tasks'),
    await service.anonymous().get('/api/me/tasks'),
    await user.get('/api/other/tasks'),
    await user.get('/api/me/nothing'),
    await user.delete('/api/me/tasks'),
    await user.get('/api/me/tasks/%'),
    await user.post('/api/me/tasks', { title: 'x'.repeat(1_100_000) }),
    await user.request('POST', '/api/me/tasks', { raw: 'x', headers: { 'content-type': 'text/html' } }),
    await user.post('/api/me/tasks', {}),
    await service.anonymous().get('/health'),
    await service.anonymous().get('/ready'),
    await service.anonymous().get('/openapi.json'),
    await service.anonymous().get('/nothing'),
    await service.anonymous().request('OPTIONS', '/health'),
  ]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 200, 304, 200, 200, 401, 403, 404, 405, 400, 413, 415, 422, 200, 200, 200, 404, 405],
  )
  for (const answer of answers) assertSafe(answer)
})

test('so have answers to what is no readable HTTP', async () => {
  for (const line of ['no header', `X: ${'x'.repeat(17_000)}`]) {
    const answer = await sendRequest(service.url, ['GET /health HTTP/1.1', line])
    assertSafe(answer)
    assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
  }
})

/** The directives of a Content-Security-Policy, name → sources. */
function directivesOf(answer: Answer): Map<string, string[]> {
  const policy = answer.headers.get('content-security-policy') ?? ''
  return new Map(
    policy.split(';').map((each) => {
      const [name = '', ...sources] = each.trim().split(' ')
      return [name, sources]
    }),
  )
}

test('the page at /docs has all its parts from here, and its policy lets it load them and nothing else', async () => {
  const anonymous = service.anonymous()
  for (const path of ['/docs', '/docs/']) {
    const page = await anonymous.get(path)
    assert.equal(page.status, 200)
    const directives = directivesOf(page)
    assert.deepEqual(directives.get('default-src'), ["'none'"])
    for (const name of ['script-src', 'style-src', 'connect-src']) {
      assert.deepEqual(directives.get(name), ["'self'"], name)
    }
    for (const name of ['base-uri', 'form-action', 'frame-ancestors']) {
      assert.deepEqual(directives.get(name), ["'none'"], name)
    }
    for (const source of [...directives.values()].flat()) assert.doesNotMatch(source, /http|\*|unsafe-eval/)
    // Whatever stands in the page itself would need a policy of its own.
    assert.doesNotMatch(page.text, /<script(?![^>]* src=)|<style|\son[a-z]+=|javascript:/i)
    const parts = [...page.text.matchAll(/<(script|link|img)[^>]* (?:src|href)="([^"]+)"/g)]
    assert.ok(parts.length >= 6)
    for (const [, kind, address = ''] of parts) {
      const url = new URL(address, new URL(path, service.url))
      assert.equal(url.origin, new URL(service.url).origin, address)
      const part = await anonymous.get(url.pathname)
      assert.equal(part.status, 200, address)
      const type = part.headers.get('content-type') ?? ''
      if (kind === 'script') assert.match(type, /javascript/, address)
      // With nosniff, a style sheet of another type is not taken.
      if (address.endsWith('.css')) assert.match(type, /^text\/css/, address)
    }
  }
})

test('Strict-Transport-Security is sent where a trusted proxy says that the request came by https', async () => {
  const behind = await startApp({ testDatabase, trustProxy: ['loopback'] })
  const transport = async (app: typeof service, headers: Record<string, string>) =>
    (await app.anonymous().get('/health', headers)).headers.get('strict-transport-security')
  assert.equal(await transport(behind, { 'x-forwarded-proto': 'https' }), 'max-age=31536000')
  assert.equal(await transport(behind, { 'x-forwarded-proto': 'http' }), null)
  assert.equal(await transport(behind, {}), null)
  assert.equal(await transport(service, { 'x-forwarded-proto': 'https' }), null, 'nobody is trusted')
})
