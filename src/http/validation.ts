import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { AppError, type ErrorDetail } from '../errors.ts'
import { readTime } from '../lib/rfc3339.ts'
import { isEntityTagList } from './etag.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** The route may be called without a body. */
    'x-optional-body'?: boolean
    /** The route takes no body; one that is sent is refused. */
    'x-no-body'?: boolean
  }
}

/** Most problems that one answer lists; bounded, as is the longest path that it echoes, whatever was sent. */
export const maxDetails = 100
const maxPathLength = 256

type Part = 'params' | 'querystring' | 'headers' | 'body'

const parts: readonly Part[] = ['params', 'querystring', 'headers', 'body']

/** How the details name a part; a body's path is a plain JSON pointer. */
const prefixes: Readonly<Record<Part, string>> = {
  params: 'params',
  querystring: 'query',
  headers: 'headers',
  body: '',
}

type Check = { readonly part: Part; readonly validate: ValidateFunction }

/**
 * Validates requests by the JSON Schemas of their routes, all parts together, so that all problems are reported at
 * once. Text of the query that stands for a whole number or a boolean is read as such by the schema's type.
 *
 * Must be called before the routes are registered.
 */
export function registerValidation(app: FastifyInstance): void {
  const ajv = createAjv()
  // Fastify would stop at the first part that fails.
  app.setValidatorCompiler(() => () => true)
  app.addHook('onRoute', (route) => {
    const { schema } = route
    if (schema === undefined) return
    const checks = compile(ajv, schema)
    if (checks.length === 0) return
    const existing = route.preValidation ?? []
    const validate = async (request: FastifyRequest) => validateRequest(request, checks, schema)
    route.preValidation = [validate, ...(Array.isArray(existing) ? existing : [existing])]
  })
}

function createAjv(): Ajv {
  const ajv = new Ajv({ allErrors: true, useDefaults: true, verbose: true, allowUnionTypes: true })
  ajv.addFormat('uuid', /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i)
  ajv.addFormat('entity-tags', isEntityTagList)
  ajv.addFormat('date-time', (text) => readTime(text) !== undefined)
  // What a schema says for people: the text of a problem, examples for the OpenAPI document.
  ajv.addVocabulary(['x-message', 'x-items', 'x-examples', 'example'])
  ajv.addKeyword({
    keyword: 'x-trim',
    type: 'string',
    schemaType: 'boolean',
    modifying: true,
    before: 'maxLength',
    validate: (_schema: boolean, data: string, _parent: unknown, context?: TrimContext) => {
      if (context !== undefined) context.parentData[context.parentDataProperty] = data.trim()
      return true
    },
  })
  return ajv
}

/** One for all checks: to make it takes longer than to compile most schemas. */
const checksAjv = createAjv()

/**
 * Makes a check for values that are not a part of a request of their own, such as the items of a batch. It trims as the
 * check of a body does.
 *
 * @returns a function from a value, and the JSON pointer to put before each path, to the problems; none when it is valid
 */
export function compileCheck(schema: object): (value: unknown, pointer?: string) => ErrorDetail[] {
  const validate = checksAjv.compile(schema)
  return (value, pointer = '') =>
    validate(value)
      ? []
      : (validate.errors ?? []).slice(0, maxDetails).map((error) => describe('body', error, pointer))
}

type TrimContext = { parentData: Record<string | number, unknown>; parentDataProperty: string | number }

function compile(ajv: Ajv, schema: FastifySchema): Check[] {
  return parts.flatMap((part) => {
    const partSchema = schema[part]
    return typeof partSchema === 'object' && partSchema !== null
      ? [{ part, validate: ajv.compile(partSchema) }]
      : []
  })
}

function validateRequest(request: FastifyRequest, checks: readonly Check[], schema: FastifySchema): void {
  const optionalBody = schema['x-optional-body'] ?? false
  const details: ErrorDetail[] = []
  for (const { part, validate } of checks) {
    const value = part === 'querystring' ? request.query : request[part]
    if (part === 'body' && value === undefined && optionalBody) continue
    if (part === 'querystring') readNumbersAndBooleans(value, validate.schema)
    if (validate(value)) continue
    const errors = (validate.errors ?? []).slice(0, maxDetails)
    details.push(...errors.map((error) => describe(part, error)))
  }
  if (schema['x-no-body'] && request.body !== undefined) {
    details.push({ path: '', code: 'unexpected', message: 'this operation takes no body' })
  }
  if (details.length > 0) throw new AppError('VALIDATION_FAILED', { details: details.slice(0, maxDetails) })
}

/** Replaces text by what it stands for, in its plain form only: `1e2`, ` 5` and `TRUE` stay text and are refused. */
function readNumbersAndBooleans(query: unknown, schema: unknown): void {
  const properties = isRecord(schema) && isRecord(schema.properties) ? schema.properties : {}
  if (!isRecord(query)) return
  for (const [name, text] of Object.entries(query)) {
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (typeof text !== 'string' || !isRecord(property)) continue
    if (property.type === 'integer' && /^(?:0|-?[1-9]\d{0,14})$/.test(text)) query[name] = Number(text)
    if (property.type === 'boolean' && (text === 'true' || text === 'false')) query[name] = text === 'true'
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function describe(part: Part, error: ErrorObject, base: string = prefixes[part]): ErrorDetail {
  const { keyword, params, instancePath } = error
  const member: unknown = params.additionalProperty ?? params.missingProperty
  const pointer = typeof member === 'string' ? `${instancePath}/${escapePointer(member)}` : instancePath
  return {
    path: `${base}${pointer}`.slice(0, maxPathLength),
    code: keyword,
    message: explain(part, error),
  }
}

/** RFC 6901 §3. */
function escapePointer(member: string): string {
  return member.replaceAll('~', '~0').replaceAll('/', '~1')
}

function explain(
  part: Part,
  { keyword, params, message, parentSchema, data, instancePath }: ErrorObject,
): string {
  switch (keyword) {
    case 'additionalProperties':
      return part === 'querystring'
        ? 'is not a parameter of this operation'
        : 'is not a field that can be set here'
    case 'required':
      return 'is required'
    case 'pattern':
      return parentSchema?.['x-message'] ?? `${message}`
    case 'minLength':
      return 'must not be empty'
    case 'format':
      return parentSchema?.['x-message'] ?? `must be a valid ${parentSchema?.format}`
    case 'enum':
      return `must be one of ${[params.allowedValues].flat().join(', ')}`
    case 'minProperties':
      return 'must name at least one field'
    case 'type':
      if (part === 'body' && data === undefined && instancePath === '')
        return 'a JSON object is required as the body'
      return `must be ${[params.type].flat().join(' or ')}`
    default:
      return `${message}`
  }
}
