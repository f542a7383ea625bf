import { Type } from 'typebox'
import { exampleTask } from './schema.ts'

export const exampleChanges = [
  { type: 'upsert', task: exampleTask },
  { type: 'delete', id: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6073', version: 8 },
]

/** One entry of the feed, and the data of one event of its stream. */
export const ChangeSchema = Type.Union(
  [
    Type.Object(
      { type: Type.Literal('upsert'), task: Type.Ref('Task#') },
      { additionalProperties: false, description: 'The task was made or changed: its present state.' },
    ),
    Type.Object(
      {
        type: Type.Literal('delete'),
        id: Type.String({ format: 'uuid' }),
        version: Type.Integer({ minimum: 1, description: "The user's change number of the deletion." }),
      },
      { additionalProperties: false, description: 'The task is in the trash, or removed for good.' },
    ),
  ],
  { $id: 'Change', title: 'Change', examples: exampleChanges },
)

const cursor = { minLength: 1, maxLength: 1_000 }

const since = Type.Optional(
  Type.String({
    ...cursor,
    description: '`meta.next_cursor` of a page, or the `id` of an event: what comes after it is told.',
  }),
)

export const ChangesQuery = Type.Object(
  {
    since,
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 500,
        description: 'Most changes in one answer; 100 when left out.',
      }),
    ),
  },
  { additionalProperties: false },
)

export const StreamQuery = Type.Object({ since }, { additionalProperties: false })

export const LastEventIdHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({
      maxLength: cursor.maxLength,
      description: 'The `id` of the last event that arrived, as browsers send it; it goes before `since`.',
    }),
  ),
})
