import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { root } from '../support/imports.ts'

/** The part of JSON Schema that the document uses. */
export type Schema = {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly format?: string
  readonly pattern?: string
}

export type Parameter = {
  readonly in: 'path' | 'query' | 'header'
  readonly name: string
  readonly required?: boolean
  readonly schema: Schema
}

type Content = Readonly<Record<string, { readonly schema: Schema }>>

export type Operation = {
  readonly operationId: string
  readonly method: string
  readonly path: string
  readonly parameters: readonly Parameter[]
  readonly requestBody?: { readonly required?: boolean; readonly content: Content }
  readonly responses: Readonly<
    Record<string, { readonly headers?: Readonly<Record<string, unknown>>; readonly content?: Content }>
  >
}

type Document = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Omit<Operation, 'method' | 'path'>>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

// The generated document; test/openapi.test.ts holds its form.
const document = JSON.parse(readFileSync(join(root, 'openapi.json'), 'utf8')) as Document

export const operations: readonly Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    ...operation,
    parameters: operation.parameters ?? [],
    path,
    method: method.toUpperCase(),
  })),
)

const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)
// As clients write them (RFC 3339); whether the day exists is the service's to say.
ajv.addFormat('date-time', /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/)
ajv.addFormat('entity-tags', true)
ajv.addSchema(document, 'openapi')

const compiled = new Map<string, ValidateFunction>()

/**
 * Checks a value against the schema at a place in the document.
 *
 * @returns what is wrong, or undefined
 */
export function problemWith(value: unknown, ...place: readonly string[]): string | undefined {
  const pointer = place
    .map((each) => encodeURIComponent(each.replaceAll('~', '~0').replaceAll('/', '~1')))
    .join('/')
  const validate = compiled.get(pointer) ?? ajv.compile({ $ref: `openapi#/${pointer}` })
  compiled.set(pointer, validate)
  return validate(value) ? undefined : ajv.errorsText(validate.errors)
}

/** The schema itself, where another one is named. */
export function resolve(schema: Schema): Schema {
  if (schema.$ref === undefined) return schema
  const name = schema.$ref.replace('#/components/schemas/', '')
  const found = document.components.schemas[name]
  if (found === undefined) throw new Error(`No schema ${schema.$ref}`)
  return found
}

/** The operation that a request comes to, whichever it was made from; undefined where there is none. */
export function operationAt(method: string, path: string): Operation | undefined {
  const asked = method === 'HEAD' ? 'GET' : method
  const found = operations.filter((each) => each.method === asked && pathForm(each).test(path))
  // A path without a parameter goes before one that has it in its place.
  return found.sort((a, b) => a.path.split('{').length - b.path.split('{').length)[0]
}

function pathForm({ path }: Operation): RegExp {
  return new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/?;]+')}(\\?|$)`)
}
