import { type Static, Type } from 'typebox'
import { entityTags, storableText } from './schema.ts'

/** Parameters of every list that is paged. */
export const pagingParameters = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 500, description: 'Most tasks in one answer; 100 when left out.' }),
  ),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 4_000,
      description: 'meta.next_cursor of the page before, with the same filter and sort; limit may differ.',
    }),
  ),
  count: Type.Optional(
    Type.Boolean({ description: 'true adds meta.total, the number of tasks on all pages together.' }),
  ),
}

export const defaultLimit = 100

const time = (description: string) =>
  Type.Optional(
    Type.String({
      format: 'date-time',
      maxLength: 64,
      'x-message':
        'must be a time of RFC 3339 in the years 0001 to 9999, such as 2026-11-23T02:08:44.467Z; in a URL, + is %2B',
      description,
      examples: ['2026-11-23T02:08:44.467Z'],
    }),
  )

const sorts = ['created_at', '-created_at', 'updated_at', '-updated_at', 'title', '-title'] as const

export const ListQuery = Type.Object(
  {
    completed: Type.Optional(
      Type.Boolean({ description: 'Only tasks that are (true) or are not (false) completed.' }),
    ),
    q: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1_000,
        ...storableText,
        description:
          'Only tasks whose title or description holds this text, compared in Unicode lower case. % and _ stand for themselves.',
      }),
    ),
    created_after: time('Only tasks created after this time.'),
    created_before: time('Only tasks created before this time.'),
    updated_after: time('Only tasks last changed after this time.'),
    updated_before: time('Only tasks last changed before this time.'),
    sort: Type.Optional(
      Type.Enum(sorts, {
        description:
          'The order; with a leading - from the last to the first. Titles go by code point, equals by id. -created_at when left out.',
      }),
    ),
    ...pagingParameters,
  },
  { additionalProperties: false },
)

export type ListQuery = Static<typeof ListQuery>

export const ListHeaders = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({
      ...entityTags,
      description: 'Answer 304 without a body if the ETag of the list is among these.',
    }),
  ),
})
