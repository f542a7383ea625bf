import { Type } from 'typebox'
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

export const TrashQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 500, description: 'Most tasks in one answer; 100 when left out.' }),
    ),
    cursor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1_000, description: 'meta.next_cursor of the page before.' }),
    ),
    count: Type.Optional(
      Type.Boolean({ description: 'Whether to count the tasks in the trash, as meta.total.' }),
    ),
  },
  { additionalProperties: false },
)
