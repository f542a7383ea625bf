import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readBearerToken } from '../../src/auth/bearer.ts'

test('the scheme is understood in any case', () => {
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
    assert.equal(readBearerToken(`${scheme} abc.def.ghi`), 'abc.def.ghi')
  }
})

test('several spaces after the scheme are one separator', () => {
  assert.equal(readBearerToken('Bearer   abc'), 'abc')
})

test('no header, another scheme and an empty bearer have no token', () => {
  for (const header of [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer    ',
    'Bearer \t',
    'Basic dXNlcjpwYXNz',
    'Bearerabc',
    'Bearer:abc',
    'Bearer\tabc',
    'Token abc',
    'abc.def.ghi',
    ' Bearer abc',
    'JWT bearer abc',
  ]) {
    assert.equal(readBearerToken(header), undefined, JSON.stringify(header))
  }
})

test('a damaged value is handed on as it stands, to be refused as invalid', () => {
  for (const value of ['abc def', 'abc ', 'abc\tdef', 'abc, Bearer def', '"abc"', 'abc=']) {
    assert.equal(readBearerToken(`Bearer ${value}`), value)
  }
})

test('whatever token is sent is read back', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (token) => {
      fc.pre(token.trim() !== '' && !token.startsWith(' '))
      return readBearerToken(`Bearer ${token}`) === token
    }),
  )
})
