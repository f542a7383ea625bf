import { type TSchema, Type } from 'typebox'
import { type ErrorCode, errorCatalogue } from '../errors.ts'

/** Errors that any operation under /api can answer with, before its own. */
const sharedErrors = [
  'OVERLOADED',
  'BAD_REQUEST',
  'INVALID_URL',
  'TOKEN_MISSING',
  'TOKEN_EXPIRED',
  'TOKEN_INVALID',
  'FORBIDDEN',
  'RATE_LIMITED',
  'REQUEST_TIMEOUT',
  'HEADERS_TOO_LARGE',
  'VALIDATION_FAILED',
  'INTERNAL_ERROR',
  'DATABASE_UNAVAILABLE',
  'KEYS_UNAVAILABLE',
] as const satisfies readonly ErrorCode[]

/** Errors that an operation with a body adds. */
export const bodyErrors = [
  'INVALID_JSON',
  'BODY_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
] as const satisfies readonly ErrorCode[]

/** Errors that an operation with an Idempotency-Key adds. */
export const idempotencyErrors = [
  'IDEMPOTENCY_KEY_REUSED',
  'IDEMPOTENCY_IN_PROGRESS',
] as const satisfies readonly ErrorCode[]

/** The header of an answer that such an operation gives again. */
export const replayedHeader = {
  'Idempotency-Replayed':
    '`true` when this is the kept answer to the first request with the Idempotency-Key.',
}

/** Statuses of errors that are kept under an Idempotency-Key. */
const replayedStatuses: readonly number[] = [404, 409, 412, 422]

const exampleMeta = {
  timestamp: '2026-11-23T02:08:44.467Z',
  request_id: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6072',
}

const metaProperties = {
  timestamp: Type.String({ format: 'date-time' }),
  request_id: Type.String(),
}

const ErrorEnvelopeSchema = Type.Object(
  {
    status: Type.Literal('error'),
    error: Type.Object({
      code: Type.String({ enum: Object.keys(errorCatalogue) }),
      message: Type.String(),
      details: Type.Array(
        Type.Object(
          {
            path: Type.String({
              description: 'A JSON pointer into the body, or `query/…`, `params/…`, `headers/…`.',
            }),
            code: Type.String(),
            message: Type.String(),
          },
          { additionalProperties: true },
        ),
      ),
    }),
    meta: Type.Object(metaProperties),
  },
  { $id: 'Error', title: 'Error' },
)

/** Schemas that the document shares under components. */
export const sharedSchemas: readonly TSchema[] = [ErrorEnvelopeSchema]

type Documented = { readonly description: string; readonly content: object; readonly headers?: object }

type SuccessOptions = {
  readonly description: string
  readonly data: TSchema
  readonly example: unknown
  /** Members that this answer adds to meta. */
  readonly meta?: Readonly<Record<string, TSchema>>
  readonly exampleMeta?: Readonly<Record<string, unknown>>
  /** Response headers, name → what it holds. */
  readonly headers?: Readonly<Record<string, string>>
}

/** A successful answer for the OpenAPI document. */
export function successResponse(options: SuccessOptions): Documented {
  const { description, data, example, meta, headers = {} } = options
  return {
    description,
    headers: documentHeaders({ 'X-Request-Id': 'The id of the request, as in meta.request_id.', ...headers }),
    content: {
      'application/json': {
        schema: Type.Object({
          status: Type.Literal('success'),
          data,
          meta: Type.Object({ ...metaProperties, ...meta }),
        }),
        example: { status: 'success', data: example, meta: { ...exampleMeta, ...options.exampleMeta } },
      },
    },
  }
}

type StreamOptions = {
  readonly description: string
  /** Media type of the content. */
  readonly type: string
  readonly example: string
  /** Response headers, name → what it holds. */
  readonly headers?: Readonly<Record<string, string>>
}

/** A successful answer without an envelope, for the OpenAPI document. */
export function streamResponse({ description, type, example, headers = {} }: StreamOptions): Documented {
  return {
    description,
    headers: documentHeaders({ 'X-Request-Id': 'The id of the request.', ...headers }),
    content: { [type]: { schema: Type.String(), example } },
  }
}

/** The error answers of an operation under /api, by status, with an example of each code. */
export function errorResponses(...own: readonly ErrorCode[]): Record<number, Documented> {
  return groupByStatus([...sharedErrors, ...own])
}

/** The error answers of an operation outside /api. */
export function plainErrorResponses(...codes: readonly ErrorCode[]): Record<number, Documented> {
  return groupByStatus([
    'BAD_REQUEST',
    'INVALID_URL',
    'REQUEST_TIMEOUT',
    'HEADERS_TOO_LARGE',
    'INTERNAL_ERROR',
    ...codes,
  ])
}

function groupByStatus(codes: readonly ErrorCode[]): Record<number, Documented> {
  const byStatus = Object.groupBy(codes, (code) => String(errorCatalogue[code].status))
  const isIdempotent = codes.includes('IDEMPOTENCY_IN_PROGRESS')
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, group = []]) => {
      const isReplayed = isIdempotent && replayedStatuses.includes(Number(status))
      return [status, documentErrors(group, Number(status), isReplayed ? replayedHeader : {})]
    }),
  )
}

function documentErrors(
  codes: readonly ErrorCode[],
  status: number,
  headers: Readonly<Record<string, string>>,
): Documented {
  const examples = codes.map((code) => {
    const error = { code, message: errorCatalogue[code].title, details: [] }
    return [code, { value: { status: 'error', error, meta: exampleMeta } }] as const
  })
  return {
    description: codes.map((code) => `\`${code}\`: ${errorCatalogue[code].title}`).join('\n\n'),
    headers: documentHeaders({
      'X-Request-Id': 'The id of the request, as in meta.request_id.',
      ...headersOfStatus[status],
      ...headers,
    }),
    content: { 'application/json': { schema: Type.Ref('Error#'), examples: Object.fromEntries(examples) } },
  }
}

const headersOfStatus: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  401: { 'WWW-Authenticate': 'Bearer, with error="invalid_token" when a token was sent (RFC 6750).' },
  409: { 'Retry-After': 'Seconds to wait, with `IDEMPOTENCY_IN_PROGRESS`.' },
  412: { ETag: "The task's present version." },
  429: { 'Retry-After': 'Seconds to wait.' },
  503: { 'Retry-After': 'Seconds to wait.' },
}

function documentHeaders(headers: Readonly<Record<string, string>>): object {
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { type: 'string', description }]),
  )
}

/** Of every answer under /api, as the document has them. */
export const rateLimitHeaders = {
  'RateLimit-Policy': {
    schema: { type: 'string', example: '"user";q=1200;w=60' },
    description:
      'The limit that the request counts for, `"name";q=requests;w=seconds`: `user` with a good token, else `address`. Absent where limits are off.',
  },
  RateLimit: {
    schema: { type: 'string', example: '"user";r=1199;t=1' },
    description: 'What is left of it, `"name";r=requests;t=seconds until one more`.',
  },
} as const
