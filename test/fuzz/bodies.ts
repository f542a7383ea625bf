import { type Operation, resolve } from './document.ts'
import { type Context, type Draft, perhapsDistorted, validValue } from './values.ts'

export type FuzzBody = {
  readonly content: Buffer | undefined
  /** The content type it is sent as, and the JSON value that it is, when both are as the document has them. */
  readonly type?: string
  readonly value?: unknown
}

/** Adds the headers that go with the body to the draft. */
export function bodyFor(operation: Operation, draft: Draft, context: Context): FuzzBody {
  const { random } = context
  const types = Object.keys(operation.requestBody?.content ?? {})
  if (types.length === 0) {
    if (random.chance(0.97)) return { content: undefined }
    draft.isRight = false
    draft.headers.push('Content-Type', random.pick(['application/json', 'text/plain', 'x', '']))
    return { content: Buffer.from(random.pick(['{}', '', 'null', '[1', 'x'.repeat(70_000)])) }
  }
  if (random.chance(operation.requestBody?.required ? 0.02 : 0.2)) {
    if (operation.requestBody?.required) draft.isRight = false
    return { content: undefined }
  }
  const type = random.pick(types)
  const isTypeRight = random.chance(0.95)
  if (isTypeRight) draft.headers.push('Content-Type', random.chance(0.2) ? `${type}; charset=UTF-8` : type)
  else addWrongType(draft, context)
  if (type === 'application/x-ndjson') return { content: linesFor(draft, context) }
  const schema = operation.requestBody?.content[type]?.schema ?? {}
  const text = JSON.stringify(perhapsDistorted(validValue(schema, '', context), draft, context)) ?? ''
  const content = perhapsDamaged(Buffer.from(withRawNumbers(text)), draft, context)
  const value = parsed(content)
  return isTypeRight && value !== undefined ? { content, type, value } : { content }
}

/** Numbers that JSON.stringify cannot write. */
function withRawNumbers(text: string): string {
  return text.replace(/"raw#([^#"]+)#"/g, '$1')
}

function addWrongType(draft: Draft, { random }: Context): void {
  draft.isRight = false
  const wrong = [
    'text/plain',
    'application/xml',
    'application/json; charset=latin1',
    'application/x-ndjson',
    'json',
    '',
  ]
  const others = [
    'application/merge-patch+json',
    'multipart/form-data; boundary=x',
    'application/json;;',
    'APPLICATION/JSON',
  ]
  if (random.chance(0.9)) draft.headers.push('Content-Type', random.pick([...wrong, ...others]))
}

function linesFor(draft: Draft, context: Context): Buffer {
  const { random } = context
  const lines = Array.from({ length: random.below(6) }, () => {
    const line = validValue(resolve({ $ref: '#/components/schemas/ImportLine' }), '', context)
    return withRawNumbers(JSON.stringify(perhapsDistorted(line, draft, context)) ?? '')
  })
  return perhapsDamaged(Buffer.from(lines.join(random.pick(['\n', '\n', '\r\n', '\n\n']))), draft, context)
}

/** Now and then as no JSON, or as JSON that is hard to read. */
function perhapsDamaged(content: Buffer, draft: Draft, { random }: Context): Buffer {
  if (random.chance(0.93)) return content
  draft.isRight = false
  const at = random.below(content.length + 1)
  const deep = random.pick([50, 5_000, 200_000])
  return random.pick([
    () => content.subarray(0, at),
    () => Buffer.concat([content.subarray(0, at), Buffer.from([0xff]), content.subarray(at)]),
    () => Buffer.concat([content.subarray(0, at), Buffer.from([0]), content.subarray(at)]),
    () => Buffer.concat([Buffer.from('\ufeff'), content]),
    () => Buffer.from(content.toString(), 'utf16le'),
    () => Buffer.concat([content, content]),
    () => Buffer.concat([content, Buffer.from(' ')]),
    () => Buffer.from(content.toString().replace('{', '{"title":1,')),
    () => Buffer.from(`${'['.repeat(deep)}${']'.repeat(deep)}`),
    () => Buffer.from(`${'{"title":'.repeat(deep)}1${'}'.repeat(deep)}`),
    () => Buffer.from(`{"title":"${'x'.repeat(1_050_000)}"}`),
    () => Buffer.from(`{${Array.from({ length: 20_000 }, (_, index) => `"f${index}":0`).join()}}`),
    () => Buffer.from('{"__proto__":{"title":"x"},"constructor":{"prototype":{}}}'),
    () =>
      Buffer.from(random.pick(['null', '1', '"text"', '[]', 'NaN', 'undefined', '{', '{"title":"\\ud800"}'])),
  ])()
}

function parsed(content: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content))
  } catch {
    return undefined
  }
}
