import { Type } from 'typebox'
import { pagingParameters } from './list-schema.ts'
import { exampleTask, TaskSchema } from './schema.ts'

export const exampleTrashedTask = {
  ...exampleTask,
  updated_at: '2026-11-23T02:09:13.582Z',
  version: 8,
  deleted_at: '2026-11-23T02:09:13.582Z',
}

/** A task in the trash, as answers show it. */
export const TrashedTaskSchema = Type.Object(
  {
    ...TaskSchema.properties,
    deleted_at: Type.String({
      format: 'date-time',
      description: 'When the task was moved to the trash.',
    }),
  },
  { $id: 'TrashedTask', title: 'TrashedTask', additionalProperties: false, examples: [exampleTrashedTask] },
)

export const TrashQuery = Type.Object(pagingParameters, { additionalProperties: false })
