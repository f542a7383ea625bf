/**
 * The closed catalogue of errors that a client can see. docs/errors.md and the OpenAPI document are tested
 * against it in both directions.
 */
export const errorCatalogue = {
  VALIDATION_FAILED: {
    status: 422,
    title: 'The request does not have the required form; details name each problem.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: 'This Idempotency-Key was used for another request; take a new one for each.',
  },
  INVALID_JSON: { status: 400, title: 'The body is not valid JSON in UTF-8.' },
  INVALID_URL: { status: 400, title: 'The URL holds a malformed percent escape or a NUL.' },
  INVALID_CURSOR: {
    status: 400,
    title: 'The cursor is damaged, or was made for another user, filter or sort.',
  },
  BAD_REQUEST: { status: 400, title: 'The request is not valid HTTP.' },
  TOKEN_MISSING: { status: 401, title: 'Send a token in the header "Authorization: Bearer <token>".' },
  TOKEN_EXPIRED: { status: 401, title: 'The token has expired; get a new one.' },
  TOKEN_INVALID: { status: 401, title: 'The token is not valid.' },
  FORBIDDEN: { status: 403, title: 'The user in the path is not the user of the token.' },
  ROUTE_NOT_FOUND: { status: 404, title: 'There is no such route; see /docs.' },
  TASK_NOT_FOUND: { status: 404, title: 'There is no such task.' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    title: 'The route does not have this method; the Allow header lists those it has.',
  },
  REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time.' },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    title: 'A request with this Idempotency-Key is still running; try again shortly.',
  },
  TASK_EXISTS: { status: 409, title: 'A task with this id exists with other content, or is in the trash.' },
  CURSOR_EXPIRED: {
    status: 410,
    title: 'The cursor is too old to go on from; start again without since.',
  },
  PRECONDITION_FAILED: {
    status: 412,
    title: 'The task has changed since the version that the request names.',
  },
  BODY_TOO_LARGE: { status: 413, title: 'The body is larger than the limit.' },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    title: 'Send the body as application/json, an import as application/x-ndjson, in UTF-8, not compressed.',
  },
  RATE_LIMITED: { status: 429, title: 'Too many requests; wait as long as Retry-After says.' },
  HEADERS_TOO_LARGE: {
    status: 431,
    title: 'The request line and headers are larger than 16 KiB, or more than 100 fields.',
  },
  INTERNAL_ERROR: {
    status: 500,
    title: 'Something went wrong here; the log of the service tells more under the request id.',
  },
  DATABASE_UNAVAILABLE: { status: 503, title: 'The database cannot be reached; try again shortly.' },
  KEYS_UNAVAILABLE: {
    status: 503,
    title: "The keys of the token's issuer cannot be had; try again shortly.",
  },
  OVERLOADED: { status: 503, title: 'The service has more to do than it can; try again shortly.' },
  NOT_READY: { status: 503, title: 'The service is not ready; details say what is missing.' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof errorCatalogue

/** One problem within an error: where it is (a JSON pointer into the body, or `query/…`, `params/…`, `headers/…`). */
export type ErrorDetail = {
  readonly path: string
  readonly code: string
  readonly message: string
  readonly [extra: string]: unknown
}

type AppErrorOptions = {
  readonly details?: readonly ErrorDetail[]
  /** Response headers that belong to this error, e.g. Allow or Retry-After. */
  readonly headers?: Readonly<Record<string, string>>
  /** Why, for the log only; never sent to the client. */
  readonly cause?: unknown
}

/** An error of the catalogue. Its message is safe to show to a client; its cause is for the log. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly status: number
  readonly details: readonly ErrorDetail[]
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, options: AppErrorOptions = {}) {
    super(errorCatalogue[code].title, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = errorCatalogue[code].status
    this.details = options.details ?? []
    this.headers = options.headers ?? {}
  }
}

/**
 * A failure that whoever runs the service or a tool can mend. Its message says what is wrong and what to do, and is
 * shown without a stack.
 */
export class OperatorError extends Error {}
