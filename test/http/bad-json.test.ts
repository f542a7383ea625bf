import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'
import { assertError, assertPage, assertTask, type Problem } from '../support/answers.ts'
import { newUser, startApp } from '../support/app.ts'

const service = await startApp()

async function assertAlive(): Promise<void> {
  assert.equal((await service.anonymous().get('/health')).status, 200)
}

const json = { 'content-type': 'application/json' }
const unreadable: readonly Problem[] = [['', 'json']]

async function assertRefused(
  raw: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
  [status, code, problems]: readonly [number, ErrorCode, (readonly Problem[])?],
): Promise<void> {
  const user = service.as(newUser())
  const answer = await user.request('POST', '/api/me/tasks', { raw, headers })
  assertError(answer, status, code, problems)
  assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [])
  await assertAlive()
}

const json400 = [400, 'INVALID_JSON', unreadable] as const
const invalidJson: readonly (readonly [name: string, body: string | Uint8Array<ArrayBuffer>])[] = [
  ['half an object', '{"title":'],
  ['no quotes', '{title:"x"}'],
  ['single quotes', "{'title':'x'}"],
  ['a trailing comma', '{"title":"x",}'],
  ['a comment', '{"title":"x"}//'],
  ['two values', '{"title":"x"}{"title":"y"}'],
  ['a raw control character', '{"title":"a\u0001b"}'],
  ['a raw line end', '{"title":"a\nb"}'],
  ['a raw NUL', '{"title":"a\0b"}'],
  ['a NUL after the end', '{"title":"x"}\0'],
  ['NaN', '{"title":NaN}'],
  ['undefined', 'undefined'],
  ['white space alone', ' \r\n'],
  ['a half escape', '{"title":"\\u00"}'],
  ['a byte order mark', '\ufeff{"title":"x"}'],
  ['form data', 'title=x'],
  ['UTF-16', Buffer.from('\ufeff{"title":"x"}', 'utf16le')],
  ['Latin-1', Buffer.from('{"title":"\u00e9"}', 'latin1')],
  ['an overlong byte pair', Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x7d])],
  ['half a character at the end', Buffer.from([0x22, 0xe2, 0x82, 0x22])],
  ['a lone surrogate as three bytes', Buffer.from('7b227469746c65223a22eda080227d', 'hex')],
  ['bytes beyond Unicode', Buffer.from('7b227469746c65223a22f4908080227d', 'hex')],
]
for (const [name, body] of invalidJson) {
  test(`a body of ${name} is INVALID_JSON`, () => assertRefused(body, json, json400))
}

const tooDeep: readonly (readonly [name: string, body: string])[] = [
  ['65 levels', nest(65)],
  ['half a million levels', nest(500_000)],
  ['a title half a million deep', `{"title":${nest(500_000)}}`],
  ['an unknown field half a million deep', `{"title":"x","a":${nest(500_000)}}`],
  ['a thousand open brackets', '['.repeat(1_000)],
  ['a million open brackets', '['.repeat(1_000_000)],
  ['two hundred thousand open objects', '{"a":'.repeat(200_000)],
]
for (const [name, body] of tooDeep) {
  test(`a body of ${name} is too deep, whatever is in it`, () =>
    assertRefused(body, json, [400, 'INVALID_JSON', [['', 'maxDepth']]]))
}

function nest(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth)
}

const validJson: readonly (readonly [name: string, body: string, ...Problem[]])[] = [
  ['an array 64 deep', nest(64), ['', 'type']],
  ['a title 63 deep', `{"title":${nest(63)}}`, ['/title', 'type']],
  ['__proto__', '{"title":"x","__proto__":{"completed":true}}', ['/__proto__', 'additionalProperties']],
  [
    '__proto__ alone',
    '{"__proto__":{"title":"x"}}',
    ['/title', 'required'],
    ['/__proto__', 'additionalProperties'],
  ],
  [
    'constructor',
    '{"title":"x","constructor":{"prototype":{"a":1}}}',
    ['/constructor', 'additionalProperties'],
  ],
  ['toString', '{"toString":"x"}', ['/title', 'required'], ['/toString', 'additionalProperties']],
  ['an escaped __proto__', '{"title":"x","\\u005f_proto__":null}', ['/__proto__', 'additionalProperties']],
  ['a title by prototype', '{"title":{"__proto__":"x"}}', ['/title', 'type']],
  ['a huge number', '{"title":"x","completed":1e400}', ['/completed', 'type']],
]
for (const [name, body, ...problems] of validJson) {
  test(`a body with ${name} is refused`, () =>
    assertRefused(body, json, [422, 'VALIDATION_FAILED', problems]))
}

test('a body with 100,000 unknown fields is refused with an answer of bounded size', async () => {
  const user = service.as(newUser())
  const fields = Array.from({ length: 100_000 }, (_, n) => `"${n}":0`)
  const names = ['x'.repeat(500_000), '\u{1f600}'.repeat(50_000), '~/'.repeat(100_000)]
  for (const raw of [`{${fields}}`, ...names.map((name) => `{"${name}":0}`)]) {
    const answer = await user.request('POST', '/api/me/tasks', { raw, headers: json })
    assert.equal(answer.body.error.code, 'VALIDATION_FAILED')
    assert.ok(answer.text.length < 50_000, `${answer.text.length}`)
  }
  await assertAlive()
})

test('of equal names in an object the last one counts', async () => {
  const raw = '{"title":"first","title":"last"}'
  assertTask(await service.as(newUser()).request('POST', '/api/me/tasks', { raw, headers: json }), 201, {
    title: 'last',
  })
})
