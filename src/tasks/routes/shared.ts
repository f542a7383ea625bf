import { Type } from 'typebox'
import type { Database } from '../../db/database.ts'
import { successResponse } from '../../http/responses.ts'
import type { Live } from '../live.ts'
import { exampleTask } from '../schema.ts'

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
