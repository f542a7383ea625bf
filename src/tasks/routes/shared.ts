import { Type } from 'typebox'
import type { Database } from '../../db/database.ts'
import { formatEtag } from '../../http/etag.ts'
import { successResponse } from '../../http/responses.ts'
import type { Answer } from '../../idempotency/answer-once.ts'
import { exampleTask } from '../schema.ts'
import type { Task } from '../task.ts'

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

/** The answer that holds one task, with its ETag. */
export function taskAnswer(task: Task, status = 200): Answer {
  return { status, data: task, etag: formatEtag(task.version) }
}
