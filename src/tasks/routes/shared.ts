import { type TSchema, Type } from 'typebox'
import type { Database } from '../../db/database.ts'
import { formatEtag } from '../../http/etag.ts'
import { successResponse } from '../../http/responses.ts'
import type { Answer } from '../../idempotency/answer-once.ts'
import type { Live } from '../live.ts'
import { exampleTask } from '../schema.ts'
import type { Task } from '../task.ts'

/** Newline-delimited JSON: a JSON text a line. */
export const ndjson = 'application/x-ndjson'

/** What the task routes need. */
export type TaskRouteDependencies = { readonly database: Database; readonly live: Live }

/** The documented answer that holds one task, with its ETag. */
export function taskResponse(description: string, headers: Readonly<Record<string, string>> = {}) {
  return successResponse({
    description,
    data: Type.Ref('Task#'),
    example: exampleTask,
    headers: { ETag: "The task's version, quoted.", ...headers },
  })
}

/** The documented answers of a list of tasks: a page, and 304. */
export function listResponses(
  description: string,
  data: TSchema = Type.Ref('Task#'),
  example: unknown = exampleTask,
) {
  return {
    200: successResponse({
      description,
      data: Type.Array(data),
      example: [example],
      meta: {
        next_cursor: Type.Union([Type.String(), Type.Null()], { description: 'null on the last page.' }),
        total: Type.Optional(Type.Integer({ minimum: 0, description: 'With count=true.' })),
      },
      exampleMeta: { next_cursor: null },
      headers: {
        ETag: "Weak; changes with every change of the user's data.",
        Link: 'The next page, with rel="next", where there is one (RFC 8288).',
      },
    }),
    304: { description: 'If-None-Match names the present ETag.', type: 'null' },
  }
}

/** The answer that holds one task, with its ETag. */
export function taskAnswer(task: Task, status = 200): Answer {
  return { status, data: task, etag: formatEtag(task.version) }
}
