import { type Static, Type } from 'typebox'

/**
 * Text that PostgreSQL can store and JSON can carry unaltered: no NUL and no lone surrogate. Under the `u` flag, which
 * JSON Schema asks for, the surrogate range matches lone ones only.
 */
export const storableText = {
  pattern: '^[^\\u0000\\uD800-\\uDFFF]*$',
  'x-message': 'must not contain NUL or a lone surrogate',
}

const title = {
  minLength: 1,
  maxLength: 255,
  'x-trim': true,
  ...storableText,
  description: '1 to 255 code points after white space at both ends is trimmed.',
}

/** `null` clears it. Not trimmed. */
const description = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  maxLength: 10_000,
  ...storableText,
  description: 'Up to 10,000 code points; null clears it. Not trimmed.',
})

/** What makes text the id of a task. */
export const taskIdForm = { format: 'uuid', 'x-message': 'must be a UUID' }

export const exampleTask = {
  id: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071',
  user_id: 'xT4mKq9RzLwB2vNc8YpHs6JdFg1AeU7o',
  title: 'Buy milk',
  description: null,
  completed: false,
  completed_at: null,
  created_at: '2026-11-23T02:08:44.467Z',
  updated_at: '2026-11-23T02:08:44.467Z',
  version: 7,
}

const time = (description: string) => Type.String({ format: 'date-time', description })

/** A task as answers show it. */
export const TaskSchema = Type.Object(
  {
    id: Type.String({
      format: 'uuid',
      description: 'UUIDv7 made by the service, or the UUID sent on create; lower case.',
    }),
    user_id: Type.String({ minLength: 1, maxLength: 255, description: "The owner: the token's user." }),
    title: Type.String({ minLength: 1, maxLength: 255 }),
    description: Type.Unsafe<string | null>({ type: ['string', 'null'], maxLength: 10_000 }),
    completed: Type.Boolean(),
    completed_at: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      format: 'date-time',
      description: 'When completed became true; null while it is false.',
    }),
    created_at: time('RFC 3339 in UTC with milliseconds.'),
    updated_at: time('Changes with every change.'),
    version: Type.Integer({
      minimum: 1,
      description: "The user's change number at the task's last change; the ETag.",
    }),
  },
  { $id: 'Task', title: 'Task', additionalProperties: false, examples: [exampleTask] },
)

export const TaskCreateSchema = Type.Object(
  {
    title: Type.String(title),
    description: Type.Optional(description),
    completed: Type.Optional(Type.Boolean({ description: 'false when left out.' })),
    id: Type.Optional(
      Type.String({ ...taskIdForm, description: 'An id of your own makes the create safe to repeat.' }),
    ),
  },
  { additionalProperties: false, examples: [{ title: 'Buy milk' }] },
)

const changes = {
  title: Type.Optional(Type.String(title)),
  description: Type.Optional(description),
  completed: Type.Optional(Type.Boolean()),
}

/** At least one field, each of which replaces the stored one; the others keep their value. */
export const TaskReplaceSchema = Type.Object(changes, {
  additionalProperties: false,
  minProperties: 1,
  examples: [{ title: 'Buy oat milk', completed: true }],
})

/** The same as a merge patch (RFC 7396); an empty one changes nothing. */
export const TaskUpdateSchema = Type.Object(changes, {
  additionalProperties: false,
  examples: [{ description: 'Two litres' }],
})

export const TaskCompleteSchema = Type.Object(
  { completed: Type.Boolean() },
  { additionalProperties: false, examples: [{ completed: true }] },
)

const userIdParameter = Type.String({ description: "The token's user, or the word `me`.", examples: ['me'] })

export const UserParams = Type.Object({ user_id: userIdParameter })

export const TaskParams = Type.Object({
  user_id: userIdParameter,
  task_id: Type.String({ ...taskIdForm, description: 'The id of the task.' }),
})

export const NoQuery = Type.Object({}, { additionalProperties: false })

export const entityTags = {
  format: 'entity-tags',
  'x-message': 'must be quoted entity tags such as "7", or *',
  maxLength: 1_000,
}

export const IfMatchHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ ...entityTags, description: 'Change the task only if its ETag is among these.' }),
  ),
})

export const IfNoneMatchHeaders = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({ ...entityTags, description: 'Answer 304 without a body if the ETag is among these.' }),
  ),
})

export type TaskCompleteBody = Static<typeof TaskCompleteSchema>
