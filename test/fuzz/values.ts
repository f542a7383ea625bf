import { resolve, type Schema } from './document.ts'
import type { Actor } from './memory.ts'
import type { Random } from './random.ts'

/** Who sends what is made, and who else there is. */
export type Context = { readonly random: Random; readonly actor: Actor; readonly others: readonly Actor[] }

/** Collects the parts of a request; `isRight` turns false with the first that is made wrong. */
export type Draft = { isRight: boolean; readonly headers: string[] }

/** Text that is right, and that something on the way may take amiss. */
const oddTexts = [
  '',
  'milk',
  '%_\\',
  '"\'`<script>alert(1)</script>',
  'é Å ﬀ İ ı ß ſ ẞ Σς',
  '👩‍👩‍👧‍👦 🇩🇪 𝕏',
  '\u202eright to left\u2066',
  'e\u0301\u0327',
  '\u200b\u200d\ufeff',
  'line\nbreak\ttab\r',
  '\u0001\u001f\u007f\u0085\u2028\u2029',
  '\uffff\ufffe\u{10ffff}',
  "'; drop table app.tasks; --",
  '$1 {{7*7}} $(env)',
  '__proto__',
]

const times = [
  '2026-11-23T02:08:44.467Z',
  '2026-11-23T02:08:44Z',
  '2024-02-29T23:59:59.999999+05:30',
  '1970-01-01T00:00:00-08:00',
  '0001-01-02T00:00:00Z',
  '9999-12-30T23:59:59Z',
]

/** What no schema of the document takes where a number, text or time is asked for, and edges of what it takes. */
const wrongValues: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  -(2 ** 63),
  'raw#1e400#',
  'raw#-0#',
  'raw#123456789012345678901234567890#',
  '',
  ' ',
  'x'.repeat(256),
  '𝕏'.repeat(255),
  'y'.repeat(10_001),
  '\ud800',
  'a\udc00b',
  'nul\0',
  '2026-02-30T00:00:00Z',
  '2026-11-23T24:00:00Z',
  '2026-12-31T23:59:60Z',
  '0000-01-01T00:00:00Z',
  '0001-01-01T00:00:00+14:00',
  '9999-12-31T23:59:59-14:00',
  'not-a-uuid',
  '00000000-0000-0000-0000-000000000000',
  '{00000000-0000-4000-8000-000000000000}',
  [],
  {},
  [[[[]]]],
  { toString: null, length: -1 },
]

/** A value that the schema takes. `name` is the field or parameter that it is for. */
export function validValue(schema: Schema, name: string, context: Context): unknown {
  const { random } = context
  const found = resolve(schema)
  const choices = found.oneOf ?? found.anyOf
  if (choices !== undefined) return validValue(random.pick(choices), name, context)
  if (found.enum !== undefined) return random.pick(found.enum)
  const type = typeof found.type === 'object' ? random.pick(found.type) : found.type
  switch (type) {
    case 'object':
      return validObject(found, context)
    case 'array': {
      const { minItems = 0, maxItems = 5, items = {} } = found
      const length = minItems + random.below(random.chance(0.02) ? maxItems : 5)
      return Array.from({ length: Math.min(length, maxItems) }, () => validValue(items, name, context))
    }
    case 'integer': {
      const { minimum = 0, maximum = 2 ** 31 } = found
      const edge = random.chance(0.1) ? random.pick([minimum, maximum]) : minimum + random.below(20)
      return Math.min(edge, maximum)
    }
    case 'boolean':
      return random.chance(0.5)
    case 'null':
      return null
    default:
      return validText(found, name, context)
  }
}

function validObject({ properties = {}, required = [] }: Schema, context: Context): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(properties)
      .filter(([name]) => required.includes(name) || context.random.chance(0.6))
      .map(([name, each]) => [name, validValue(each, name, context)]),
  )
}

function validText({ format, maxLength = 100 }: Schema, name: string, context: Context): string {
  const { random, actor, others } = context
  if (format === 'uuid') return someId(context)
  if (format === 'date-time') return random.pick(times)
  if (format === 'entity-tags') return someTags(context)
  if (name === 'idempotency-key') return `key-${random.below(30)}`
  if (name === 'confirm') return 'erase'
  if (/^(cursor|since|last-event-id)$/.test(name)) {
    const owner = random.chance(0.9) ? actor : random.pick(others)
    const cursor = owner.cursors.length > 0 ? random.pick(owner.cursors) : ''
    // Those of a list can be longer than the feed of changes takes them.
    return cursor !== '' && cursor.length <= maxLength ? cursor : 'bm8'
  }
  const text = `${name === 'title' && random.chance(0.1) ? ' \u3000' : ''}${actor.marker} ${random.pick(oddTexts)}`
  if (random.chance(0.95)) return text
  return text + random.pick(['z', '𝕏']).repeat(maxLength - [...text].length)
}

/** Mostly an id that the user has seen; sometimes one of somebody else, or of nothing. */
export function someId({ random, actor, others }: Context): string {
  const owner = random.chance(0.85) ? actor : random.pick(others)
  const id = owner.ids.length > 0 && random.chance(0.85) ? random.pick(owner.ids) : random.uuid()
  return random.chance(0.1) ? id.toUpperCase() : id
}

function someTags({ random, actor, others }: Context): string {
  const owner = random.chance(0.9) ? actor : random.pick(others)
  const tag = owner.etags.length > 0 && random.chance(0.9) ? random.pick(owner.etags) : `"${random.below(9)}"`
  return random.pick([tag, tag, tag, '*', `W/${tag.replace('W/', '')}`, `"0", ${tag}`, tag.replace('W/', '')])
}

export function wrongValue({ random }: Context): unknown {
  return random.pick(wrongValues)
}

/** The value with one thing in it made wrong, or at least odd: replaced, left out, or added. */
export function distort(value: unknown, context: Context): unknown {
  const { random } = context
  if (Array.isArray(value) && value.length > 0 && random.chance(0.8)) {
    const at = random.below(value.length)
    return value.map((each, index) => (index === at ? distort(each, context) : each))
  }
  if (typeof value !== 'object' || value === null || random.chance(0.1)) return wrongValue(context)
  const entries = Object.entries(value)
  const choice = random.below(entries.length + 2)
  if (choice === entries.length) return Object.fromEntries(entries.filter(() => random.chance(0.6)))
  if (choice > entries.length)
    return Object.fromEntries([...entries, [unknownName(random), wrongValue(context)]])
  return Object.fromEntries(
    entries.map(([name, each], index) => [name, index === choice ? distort(each, context) : each]),
  )
}

function unknownName(random: Random): string {
  const names = [
    'user_id',
    'version',
    'created_at',
    '__proto__',
    'constructor',
    '',
    'a/b~c',
    '\ud800',
    'x'.repeat(300),
  ]
  return random.pick(names)
}

/** Made wrong a quarter of the time. */
export function perhapsDistorted(value: unknown, draft: Draft, context: Context): unknown {
  if (context.random.chance(0.75)) return value
  draft.isRight = false
  return distort(value, context)
}
