import type { ErrorCode, ErrorDetail } from '../errors.ts'

export type Meta = {
  readonly timestamp: string
  readonly request_id: string
  readonly [extra: string]: unknown
}

export type Success<T> = { readonly status: 'success'; readonly data: T; readonly meta: Meta }

/** An error as clients see it. */
export type ShownError = {
  readonly code: ErrorCode
  readonly message: string
  readonly details: readonly ErrorDetail[]
}

export type Failure = { readonly status: 'error'; readonly error: ShownError; readonly meta: Meta }

/** The envelope of an answer that worked; `extra` adds to its meta. */
export function success<T>(
  request: { readonly id: string },
  data: T,
  extra?: Readonly<Record<string, unknown>>,
): Success<T> {
  return { status: 'success', data, meta: { ...meta(request.id), ...extra } }
}

/** The envelope of an error; says nothing of its cause. */
export function failure(requestId: string, { code, message, details }: ShownError): Failure {
  return { status: 'error', error: { code, message, details }, meta: meta(requestId) }
}

function meta(requestId: string): Meta {
  return { timestamp: new Date().toISOString(), request_id: requestId }
}
