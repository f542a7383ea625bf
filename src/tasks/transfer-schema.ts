import { Type } from 'typebox'
import { exampleTask, TaskCreateSchema, TaskSchema } from './schema.ts'

const nullableTime = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description })

const exampleExported = { ...exampleTask, deleted_at: null }

/** A line of an export. */
export const ExportedTaskSchema = Type.Object(
  {
    ...TaskSchema.properties,
    deleted_at: nullableTime('When it was put into the trash; null while it is not there.'),
  },
  {
    $id: 'ExportedTask',
    title: 'ExportedTask',
    description: 'A line of an export.',
    additionalProperties: false,
    examples: [exampleExported],
  },
)

const ignored = Type.Unknown({ description: 'Not looked at.' })
const { title, description, completed, id } = TaskCreateSchema.properties

/** A line of an import: what an export has, and everything but the title may be left out. */
export const ImportLineSchema = Type.Object(
  {
    id: Type.Optional(id),
    user_id: Type.Optional(ignored),
    title,
    description,
    completed,
    completed_at: Type.Optional(
      nullableTime(
        'Not null exactly when completed is true. Left out: as stored, or the time of the import.',
      ),
    ),
    created_at: Type.Optional(
      Type.String({ format: 'date-time', description: 'Left out: as stored, or the time of the import.' }),
    ),
    updated_at: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'Left out: the time of the import where the task is created or changes.',
      }),
    ),
    version: Type.Optional(ignored),
    deleted_at: Type.Optional(
      nullableTime('When it was put into the trash. Null or left out: not in the trash.'),
    ),
  },
  {
    $id: 'ImportLine',
    title: 'ImportLine',
    description:
      'A line of an import. Times are RFC 3339 with at most milliseconds, of the years 0001 to 9998.',
    additionalProperties: false,
    examples: [exampleExported],
  },
)

/** Two lines as they go over the wire. */
export const exampleLines = `${JSON.stringify(exampleExported)}\n${JSON.stringify({
  ...exampleExported,
  id: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6073',
  title: 'Buy oat milk',
  version: 8,
  deleted_at: '2026-11-24T09:30:00.000Z',
})}\n`

export const ImportQuery = Type.Object(
  {
    dry_run: Type.Optional(
      Type.Boolean({ description: 'Only tell what the import would do; false when left out.' }),
    ),
  },
  { additionalProperties: false },
)

export const ImportHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^(?!)',
      'x-message': 'must not be sent: an import is idempotent by the ids of its lines',
      description: 'Refused: an import is idempotent by the ids of its lines.',
    }),
  ),
})

export const EraseHeaders = Type.Object({
  confirm: Type.String({
    pattern: '^erase$',
    'x-message': 'must be the word erase: everything of the user is removed for good',
    description: 'The word `erase`.',
    examples: ['erase'],
  }),
})
