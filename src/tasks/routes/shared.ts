import { Type } from 'typebox'
import type { Database } from '../../db/database.ts'
import { successResponse } from '../../http/responses.ts'
import { exampleTask } from '../schema.ts'

/** Newline-delimited JSON: a JSON text a line. */
export const ndjson = 'application/x-ndjson'

/** What the task routes need. */
export type TaskRouteDependencies = { readonly database: Database }

/** The documented answer that holds one task, with its ETag. */
export function taskResponse(description: string, headers: Readonly<Record<string, string>> = {}) {
  return successResponse({
    description,
    data: Type.Ref('Task#'),
    example: exampleTask,
    headers: { ETag: "The task's version, quoted.", ...headers },
  })
}
