import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv } from 'ajv'
import { describeApi } from '../src/describe-api.ts'
import { errorCatalogue } from '../src/errors.ts'
import { root } from './support/imports.ts'

type Content = Record<
  string,
  { schema: object; example?: unknown; examples?: Record<string, { value: unknown }> }
>
type Operation = {
  operationId?: string
  summary?: string
  tags?: string[]
  parameters?: { in: string; name: string }[]
  requestBody?: { content: Content }
  responses: Record<string, { description: string; content?: Content; headers?: object }>
}
type Document = {
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: { Error: { properties: { error: { properties: { code: { enum: string[] } } } } } } }
}

const text = readFileSync(join(root, 'openapi.json'), 'utf8')
const document: Document = JSON.parse(text)
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
)
const ajv = new Ajv({ strict: false, validateFormats: false })
ajv.addSchema(document, 'openapi')

/** Checks a value against the schema at a place in the document. */
function assertValid(value: unknown, ...place: string[]): void {
  const pointer = place
    .map((each) => each.replaceAll('~', '~0').replaceAll('/', '~1'))
    .map(encodeURIComponent)
  const validate = ajv.compile({ $ref: `openapi#/${pointer.join('/')}` })
  assert.ok(validate(value), `${place.join(' ')}: ${ajv.errorsText(validate.errors)}`)
}

test('openapi.json is what the routes are today', async () => {
  assert.equal(text, await describeApi(), 'run: npm run openapi')
})

test('openapi.json is valid OpenAPI 3.1', async () => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(JSON.parse(text))
  assert.ok(valid, JSON.stringify(errors))
  assert.equal(validator.version, '3.1')
})

test('its error codes are those of the catalogue, in both directions', () => {
  const { code } = document.components.schemas.Error.properties.error.properties
  assert.deepEqual(code.enum, Object.keys(errorCatalogue))
})

test('every operation has an id of its own, a summary and a declared tag', () => {
  const ids = operations.map(({ operation }) => operation.operationId)
  assert.equal(new Set(ids).size, operations.length)
  const tags = document.tags.map(({ name }) => name)
  for (const { path, method, operation } of operations) {
    assert.match(operation.operationId ?? '', /^[a-z]+[A-Za-z]+$/, `${method} ${path}`)
    assert.ok(operation.summary, `${method} ${path} has a summary`)
    assert.ok(
      operation.tags?.length === 1 && tags.includes(operation.tags[0] ?? ''),
      `${method} ${path} has a tag`,
    )
  }
})

test('every request body and every successful answer has an example, which its schema takes', () => {
  let examples = 0
  for (const { path, method, operation } of operations) {
    const place = ['paths', path, method]
    for (const [type, { example, examples: several }] of Object.entries(
      operation.requestBody?.content ?? {},
    )) {
      const all = several === undefined ? [example] : Object.values(several).map(({ value }) => value)
      for (const each of all) {
        assert.notEqual(each, undefined, `${method} ${path}: an example of ${type}`)
        assertValid(each, ...place, 'requestBody', 'content', type, 'schema')
        examples++
      }
    }
    for (const [status, { content, description }] of Object.entries(operation.responses)) {
      assert.ok(description, `${method} ${path} ${status} is described`)
      if (!status.startsWith('2')) continue
      const [type = ''] = Object.keys(content ?? {})
      assert.notEqual(content?.[type]?.example, undefined, `${method} ${path}: an example of ${status}`)
      assertValid(content?.[type]?.example, ...place, 'responses', status, 'content', type, 'schema')
      examples++
    }
  }
  assert.ok(examples > 15)
})

test('every operation has all its error statuses, and an example of each code with it', () => {
  for (const { path, method, operation } of operations) {
    const where = `${method} ${path}`
    const headers = operation.parameters?.filter((each) => each.in === 'header').map(({ name }) => name) ?? []
    const expected = new Set([
      ...[400, 408, 431, 500],
      ...(path.startsWith('/api/') ? [401, 403, 422, 429, 503] : []),
      ...(path.includes('{task_id}') ? [404] : []),
      ...(headers.includes('if-match') ? [412] : []),
      ...(method === 'get' ? [] : [413, 415]),
      // An import has the header only to refuse it.
      ...(headers.includes('idempotency-key') && operation.operationId !== 'importData' ? [409] : []),
      ...(operation.operationId === 'batchTasks' ? [404, 412] : []),
      ...(operation.operationId === 'listChanges' ? [410] : []),
      ...(path === '/ready' ? [503] : []),
    ])
    const documented = Object.keys(operation.responses).filter((status) => Number(status) >= 400)
    assert.deepEqual(
      documented.map(Number),
      [...expected].sort((a, b) => a - b),
      where,
    )
    for (const status of documented) {
      const examples = operation.responses[status]?.content?.['application/json']?.examples ?? {}
      assert.notDeepEqual(examples, {}, `${where} ${status}`)
      for (const [code, { value }] of Object.entries(examples)) {
        assert.equal(catalogueStatus(code), Number(status), `${where} ${code}`)
        const content = ['content', 'application/json', 'schema']
        assertValid(value, 'paths', path, method, 'responses', status, ...content)
      }
    }
  }
})

test('every answer under /api has the headers of the rate limit, no other has, and 429 and 503 say when to retry', () => {
  let answers = 0
  for (const { path, method, operation } of operations) {
    for (const [status, { headers = {} }] of Object.entries(operation.responses)) {
      const where = `${method} ${path} ${status}`
      for (const name of ['RateLimit-Policy', 'RateLimit']) {
        assert.equal(Object.hasOwn(headers, name), path.startsWith('/api/'), where)
      }
      if (['429', '503'].includes(status)) assert.ok(Object.hasOwn(headers, 'Retry-After'), where)
      answers++
    }
  }
  assert.ok(answers > 50)
})

test('every POST and PATCH of tasks documents its key, and every answer that may be given again its header', () => {
  // An import has the header only to refuse it.
  const keyed = operations.filter(
    ({ operation }) =>
      operation.operationId !== 'importData' &&
      operation.parameters?.some(({ name }) => name === 'idempotency-key'),
  )
  assert.ok(keyed.length >= 3)
  for (const { path, method, operation } of operations) {
    const isKeyed = keyed.some((each) => each.operation === operation)
    const takesKey = /^(post|patch)$/.test(method) && path.startsWith('/api/') && !path.endsWith('/import')
    assert.equal(isKeyed, takesKey, `${method} ${path}`)
    for (const [status, { headers = {} }] of Object.entries(operation.responses)) {
      const isKept = isKeyed && /^(2..|404|409|410|412|422)$/.test(status)
      assert.equal('Idempotency-Replayed' in headers, isKept, `${method} ${path} ${status}`)
      if (isKeyed && status === '409') assert.ok('Retry-After' in headers)
    }
    const codes = Object.values(operation.responses).flatMap(({ content }) =>
      Object.keys(content?.['application/json']?.examples ?? {}),
    )
    for (const code of ['IDEMPOTENCY_KEY_REUSED', 'IDEMPOTENCY_IN_PROGRESS']) {
      assert.equal(codes.includes(code), isKeyed, `${method} ${path} ${code}`)
    }
  }
})

test('every code of the catalogue belongs to an operation, but for those of requests that meet none', () => {
  const documented = new Set(
    operations.flatMap(({ operation }) =>
      Object.values(operation.responses).flatMap(({ content }) =>
        Object.keys(content?.['application/json']?.examples ?? {}),
      ),
    ),
  )
  const without = Object.keys(errorCatalogue).filter((code) => !documented.has(code))
  assert.deepEqual(without, ['ROUTE_NOT_FOUND', 'METHOD_NOT_ALLOWED'])
})

function catalogueStatus(code: string): number | undefined {
  return Object.entries(errorCatalogue).find(([each]) => each === code)?.[1].status
}

test('every operation under /api can be refused for overload, and says when to come again', () => {
  for (const { path, operation } of operations.filter((each) => each.path.startsWith('/api/'))) {
    const refused = operation.responses['503']
    assert.ok(refused?.content?.['application/json']?.examples?.OVERLOADED, path)
    assert.ok('Retry-After' in (refused.headers ?? {}), path)
  }
})
