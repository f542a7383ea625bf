import type { Shape, Statement } from '../../src/db/sql.ts'

type Values = Readonly<Record<string, unknown>>

/** Whether a statement is that of a page, or of the total, of a list. */
export function isListStatement({ name }: Statement): boolean {
  return /^(list|count)_\w*by_(created_at|updated_at|title)/.test(name)
}

/** Values with which a statement of a list takes in all of the user's tasks that are not completed, or all. */
export function wholeList(parameters: Shape): Values {
  const isTitle = parameters.from === 'text'
  const values: Values = {
    limit: 501,
    known: [],
    from: isTitle ? '' : '-infinity',
    from_id: 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    to: isTitle ? '\u{10ffff}'.repeat(256) : 'infinity',
    to_id: '00000000-0000-0000-0000-000000000000',
    completed: false,
    created_after: null,
    created_before: null,
    updated_after: null,
    updated_before: null,
    q: null,
  }
  return Object.fromEntries(Object.keys(parameters).map((name) => [name, values[name]]))
}
