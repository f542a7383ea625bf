import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseJsonObject } from '../../src/lib/strict-json.ts'
import { plain } from '../auth/tokens.ts'

function parse(text: string) {
  return parseJsonObject(Buffer.from(text))
}

function assertRefused(text: string | Uint8Array, reason: RegExp): void {
  const result = parseJsonObject(Buffer.from(text))
  assert.ok(!result.ok, `accepted: ${text}`)
  assert.match(result.reason, reason)
}

test('an object is read as it is written', () => {
  const result = parse(
    ' {"a" : -1.5e+2,\r\n"b":{"a":[{"a":"x:{[\\"\\\\"},{"a":null} ,true,false,[ ],{ }]},\t"é":"\\u0000\\u00e9"}\n',
  )
  assert.ok(result.ok)
  assert.deepEqual(plain(result.value), {
    a: -150,
    b: { a: [{ a: 'x:{["\\' }, { a: null }, true, false, [], {}] },
    é: '\0é',
  })
})

test('escaped names are read right, whatever was parsed before', () => {
  // Makes JSON.parse read the name in the next text as a backslash: nodejs/node#63785.
  JSON.parse('{"h":[],"\\\\":0}')
  for (const [text, name] of [
    ['{"h":1,"\\"":2}', '"'],
    ['{"h":1,"\\n":2}', '\n'],
    ['{"h":1,"\\u0061":2}', 'a'],
  ] as const) {
    const result = parse(text)
    assert.ok(result.ok)
    assert.deepEqual(plain(result.value), { h: 1, [name]: 2 })
  }
})

test('a name that occurs twice is refused, wherever and however it is written', () => {
  for (const text of [
    '{"sub":"a","sub":"a"}',
    '{"sub":"a","s\\u0075b":"b"}',
    '{"a":{"b":1,"b":2}}',
    '{"a":[[{"b":1,"b":2}]]}',
    '{"a":{"x":1},"a":{"x":1}}',
    '{"a":{"x":1,"y":2},"a":3}',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
    '{"a:b":1,"a\\u003ab":2}',
    '{"\\"":1,"\\u0022":2}',
    '{"\\\\":1,"\\u005c":2}',
  ]) {
    assertRefused(text, /occurs twice/)
  }
})

test('names that only look alike, and the same name in two objects, are accepted', () => {
  for (const text of [
    '{"sub":"a","Sub":"b","sub ":"c","s\\\\u0075b":"d"}',
    '{"é":1,"e\\u0301":2}',
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    '{"a":"\\"b\\":1,\\"b\\":2"}',
    '{"constructor":1,"toString":2,"hasOwnProperty":3}',
  ]) {
    assert.ok(parse(text).ok, text)
  }
})

test('a member named __proto__ is a member and nothing else', () => {
  const result = parse('{"__proto__":{"sub":"a"}}')
  assert.ok(result.ok)
  assert.equal(result.value.sub, undefined)
})

test('what does not begin as an object is refused', () => {
  for (const text of ['', ' ', 'null', 'true', '0', '""', '[]', '[{"a":1}]', '"{}"', 'text', '\0{}', '}']) {
    assertRefused(text, /not a JSON object/)
  }
})

test('what is not JSON is refused', () => {
  for (const text of [
    ...[
      '{',
      '{"',
      '{"a',
      '{"a"',
      '{"a":',
      '{"a":1',
      '{"a":1,',
      '{"a":1,}',
      '{,}',
      '{"a"}',
      '{"a":}',
      '{"a",1}',
    ],
    ...["{'a':1}", '{a:1}', '{1:1}', '{"a":1 "b":2}', '{"a":1;"b":2}', '{} {}', '{}\0', '{},', '{"a":1}}'],
    ...['{"a":[}', '{"a":[1,]}', '{"a":[,]}', '{"a":[1 2]}', '{"a":{]}', '{"a":[1}]'],
    ...['{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":1e}', '{"a":-}', '{"a":0x1}', '{"a":1_0}'],
    ...[
      '{"a":NaN}',
      '{"a":Infinity}',
      '{"a":undefined}',
      '{"a":True}',
      '{"a":tru}',
      '{"a":truex}',
      '{"a":nul}',
    ],
    ...[
      '{"a":"\\x"}',
      '{"a":"\\u12"}',
      '{"a":"\\u12g4"}',
      '{"a":"\\',
      '{"a":"\\"',
      '{"\\u":1}',
      '{"a":"\\\n"}',
    ],
    ...['{"a":"\n"}', '{"a":"\t"}', '{"a":"\0"}', '{"a\n":1}', '{"a":\v1}', '{"a":\u00a01}', '{"a":1}\u2028'],
    ...['{/* */"a":1}', '{"a":1}//', '{"a":1n}', '{"a":`1`}'],
  ]) {
    assert.throws(() => JSON.parse(text), SyntaxError, text)
    assertRefused(text, /not JSON/)
  }
})

test('a byte order mark is refused', () => {
  assertRefused('\uFEFF{"a":1}', /not a JSON object/)
})

test('bytes that are not UTF-8 are refused', () => {
  for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
    assertRefused(Buffer.concat([Buffer.from('{"a":"'), Buffer.from(bytes), Buffer.from('"}')]), /UTF-8/)
  }
})

test('32 levels are accepted and 33 are refused, in objects and in arrays', () => {
  const objects = (depth: number) => `${'{"a":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`
  const arrays = (depth: number) => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
  for (const nested of [objects, arrays]) {
    assert.ok(parse(nested(32)).ok)
    assertRefused(nested(33), /deeper/)
    assertRefused(nested(2000), /deeper/)
  }
})

test('what lies side by side is not deep', () => {
  const side = (value: string) => Array.from({ length: 100 }, () => value).join(',')
  assert.ok(parse(`{"a":[${side('[]')}],"b":[${side('{}')}],"c":[${side('[{"a":[1]}]')}]}`).ok)
})

test('every JSON object without equal names is accepted with its values', () => {
  const objects = fc.dictionary(
    fc.string({ unit: 'binary' }),
    fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }),
  )
  fc.assert(
    fc.property(objects, fc.constantFrom(undefined, 1, '\t'), (object, indent) => {
      const text = JSON.stringify(object, null, indent)
      const result = parse(text)
      assert.ok(result.ok, text)
      assert.equal(JSON.stringify(plain(result.value), null, indent), text)
    }),
    { numRuns: 500 },
  )
})

test('every number is read as JSON.parse reads it', () => {
  const numbers = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.stringMatching(/^-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?$/),
  )
  fc.assert(
    fc.property(numbers, (number) => {
      const result = parse(`{"a":${number}}`)
      assert.ok(result.ok, number)
      assert.ok(Object.is(result.value.a, JSON.parse(number)), number)
    }),
    { numRuns: 1000 },
  )
})

/** A JSON text that is built member by member, so that its value and its equal names are known. */
type Built = { readonly text: string; readonly value: unknown; readonly hasTwins: boolean }

const spelledName = fc
  .tuple(fc.constantFrom('a', 'b', ':', '"', '\\', '\n', '{', ''), fc.boolean())
  .map(([name, isEscaped]) => {
    const escaped = [...name].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
    return { name, text: isEscaped ? `"${escaped}"` : JSON.stringify(name) }
  })

const leaves: readonly Built[] = [
  { text: '1', value: 1, hasTwins: false },
  { text: 'null', value: null, hasTwins: false },
  { text: '":"', value: ':', hasTwins: false },
  { text: '"\\"a\\":1,"', value: '"a":1,', hasTwins: false },
]

const { object: builtObject } = fc.letrec<{ object: Built; value: Built }>((tie) => ({
  object: fc.array(fc.tuple(spelledName, tie('value')), { maxLength: 4 }).map((members) => ({
    text: `{${members.map(([name, member]) => `${name.text}:${member.text}`).join(',')}}`,
    value: Object.fromEntries(members.map(([name, member]) => [name.name, member.value])),
    hasTwins:
      new Set(members.map(([name]) => name.name)).size < members.length ||
      members.some(([, member]) => member.hasTwins),
  })),
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(...leaves),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => ({
      text: `[${items.map((item) => item.text).join(', ')}]`,
      value: items.map((item) => item.value),
      hasTwins: items.some((item) => item.hasTwins),
    })),
    tie('object'),
  ),
}))

test('an object is refused exactly when two names in one of its objects are equal', () => {
  let twins = 0
  fc.assert(
    fc.property(builtObject, ({ text, value, hasTwins }) => {
      twins += hasTwins ? 1 : 0
      const result = parse(text)
      assert.equal(result.ok, !hasTwins, text)
      if (result.ok) assert.deepEqual(plain(result.value), value)
    }),
    { numRuns: 2000 },
  )
  assert.ok(twins > 100, `only ${twins} of the objects had equal names`)
})

function isParsed(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('a damaged text is JSON to the reader exactly when it is to JSON.parse', () => {
  const characters = fc.constantFrom('', ...'{}[]:,"\\u0019-+.eE tfn \n\t\0/é')
  fc.assert(
    fc.property(builtObject, fc.nat(), characters, fc.nat({ max: 1 }), ({ text }, at, character, removed) => {
      const index = 1 + (at % text.length)
      const damaged = text.slice(0, index) + character + text.slice(index + removed)
      const result = parse(damaged)
      if (result.ok) assert.ok(isParsed(damaged), damaged)
      else if (!result.reason.includes('twice')) assert.ok(!isParsed(damaged), damaged)
    }),
    { numRuns: 5000 },
  )
})
