import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertAccepted, assertRefused, check, goodClaims, nowS, signClaims } from './tokens.ts'

/** The claims of a good token as JSON text, with one of them written as the given text. */
function withClaim(name: string, text: string): string {
  const { [name]: _, ...others } = { ...goodClaims } as Record<string, unknown>
  return signClaims(`${JSON.stringify(others).slice(0, -1)},${JSON.stringify(name)}:${text}}`)
}

const wrongValues = ['null', 'true', 'false', '""', '[]', '{}', '[1]', '{"a":1}']

for (const name of ['exp', 'nbf', 'iat']) {
  test(`${name} of a wrong type is refused`, () => {
    for (const text of [...wrongValues, `"${nowS + 900}"`, `[${nowS + 900}]`]) {
      assertRefused(withClaim(name, text), new RegExp(`claims: "${name}" is not a time`))
    }
  })

  test(`${name} beyond what a date can hold is refused`, () => {
    for (const text of [
      '1e999',
      '-1e999',
      '1e300',
      '-1e300',
      '9007199254740993',
      '8640000000001',
      '-8640000000001',
    ]) {
      assertRefused(withClaim(name, text), new RegExp(`claims: "${name}" is not a time`))
    }
  })

  test(`${name} that is there twice is refused`, () => {
    assertRefused(withClaim(name, `${nowS},"${name}":${nowS}`), /twice/)
  })
}

for (const name of ['sub', 'user_id', 'id']) {
  test(`${name} of a wrong type is refused, beside a good id too`, () => {
    for (const text of [...wrongValues.filter((value) => value !== '""'), '0', '1', '1e999']) {
      assertRefused(withClaim(name, text), /claims: "\w+" (is not a string|differs)/)
      assertRefused(
        signClaims(`{"exp":${nowS + 900},"${name}":${text}}`),
        new RegExp(`"${name}" is not a string`),
      )
    }
  })

  test(`${name} that is empty, has a NUL or a lone surrogate, or is too long is refused`, () => {
    for (const [text, reason] of [
      ['""', /is empty/],
      ['"a\\u0000b"', /has a NUL/],
      ['"\\u0000"', /has a NUL/],
      ['"a\\ud800b"', /lone surrogate/],
      ['"\\udc00\\ud800"', /lone surrogate/],
      [`"${'x'.repeat(256)}"`, /longer than 255/],
      [`"${'x'.repeat(4000)}"`, /longer than 255/],
      [`"${'\u{1f600}'.repeat(256)}"`, /longer than 255/],
    ] as const) {
      assertRefused(signClaims(`{"exp":${nowS + 900},"${name}":${text}}`), reason)
    }
  })

  test(`${name} that is there twice is refused`, () => {
    assertRefused(signClaims(`{"exp":${nowS + 900},"${name}":"a","${name}":"a"}`), /twice/)
  })

  test(`${name} alone names the user`, () => {
    assertAccepted(signClaims({ exp: nowS + 900, [name]: 'user-1' }), 'user-1')
  })
}

test('an id of 255 characters is accepted, counted in code points', () => {
  for (const userId of ['x'.repeat(255), '\u{1f600}'.repeat(255), 'é'.repeat(255)]) {
    assertAccepted(signClaims({ ...goodClaims, sub: userId }), userId)
  }
})

test('an id is taken as it stands: not trimmed, not normalized, not folded', () => {
  for (const userId of [
    ' a ',
    '\u00a0',
    'e\u0301',
    'é',
    'User',
    'user',
    '../b',
    'a\n',
    '0',
    'me',
    'a/b',
    '%00',
  ]) {
    assertAccepted(signClaims({ ...goodClaims, sub: userId }), userId)
  }
})

test('every well-formed text is an id and comes out as it went in', () => {
  const ids = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 255 })
    .filter((id) => id.isWellFormed() && !id.includes('\0'))
  fc.assert(
    fc.property(ids, fc.constantFrom('sub', 'user_id', 'id'), (userId, name) => {
      const result = check(signClaims({ exp: nowS + 900, [name]: userId }))
      assert.ok(result.ok)
      assert.equal(result.userId, userId)
    }),
    { numRuns: 500 },
  )
})

test('id claims that agree are accepted', () => {
  assertAccepted(signClaims({ ...goodClaims, user_id: 'user-1', id: 'user-1', userId: 'user-1' }), 'user-1')
})

test('id claims that disagree are refused, whichever they are', () => {
  const names = ['sub', 'user_id', 'id', 'userId']
  for (const one of names) {
    for (const other of names) {
      if (one === other) continue
      assertRefused(
        signClaims({ exp: nowS + 900, [one]: 'user-1', [other]: 'user-2' }),
        /claims: "\w+" differs/,
      )
      assertRefused(
        signClaims({ exp: nowS + 900, [one]: 'user-1', [other]: 'User-1' }),
        /claims: "\w+" differs/,
      )
    }
  }
})

test('userId beside a good id must be the same string', () => {
  for (const userId of ['user-2', '', null, 1, ['user-1'], { id: 'user-1' }]) {
    assertRefused(signClaims({ ...goodClaims, userId }), /claims: "userId" differs/)
  }
})

test('a token that names no user is refused', () => {
  const { sub: _, ...nameless } = goodClaims
  assertRefused(signClaims(nameless), /no claim names the user/)
  assertRefused(signClaims({ ...nameless, userId: 'user-1' }), /no claim names the user/)
  assertRefused(signClaims({ ...nameless, uid: 'user-1', user: { id: 'user-1' } }), /no claim names the user/)
  assertRefused(signClaims('{"exp":1800000900,"__proto__":{"sub":"user-1"}}'), /no claim names the user/)
})

test('claims that this service does not use are of the type that RFC 7519 gives them', () => {
  for (const text of ['null', 'true', '0', '[]', '{}', '1e999']) {
    assertRefused(withClaim('iss', text), /"iss" is not a string/)
    assertRefused(withClaim('jti', text), /"jti" is not a string/)
    if (text !== '[]') assertRefused(withClaim('aud', text), /"aud" is neither/)
  }
  assertRefused(withClaim('aud', '["a",1]'), /"aud" is neither/)
  assertAccepted(
    signClaims({
      ...goodClaims,
      iss: 'https://a.example',
      aud: ['a', 'b'],
      jti: 'x',
      name: null,
      roles: [1],
    }),
    'user-1',
  )
})

test('the audience of the session cache is refused, alone and among others', () => {
  for (const aud of ['better-auth:session-cache', ['https://a.example', 'better-auth:session-cache']]) {
    assertRefused(signClaims({ ...goodClaims, aud }), /"aud" is that of a token for another purpose/)
  }
})

test('a token without exp is refused', () => {
  assertRefused(signClaims({ sub: 'user-1', iat: nowS }), /"exp" is missing/)
})

test('a token that has expired is told so, when the tolerance of 5 s is over', () => {
  assertAccepted(signClaims({ ...goodClaims, exp: nowS - 4.999 }), 'user-1')
  for (const exp of [nowS - 5, nowS - 900, 1, 0, -1]) {
    assertRefused(signClaims({ ...goodClaims, exp }), /"exp" has passed/, 'TOKEN_EXPIRED')
  }
})

test('a token with another fault is invalid even if it has expired too', () => {
  const exp = nowS - 900
  assertRefused(signClaims({ exp }), /no claim names/)
  assertRefused(signClaims({ exp, sub: '' }), /is empty/)
  assertRefused(signClaims({ exp, sub: 'a', nbf: nowS + 900 }), /"nbf"/)
  assertRefused(signClaims({ exp, sub: 'a', iat: nowS + 900 }), /"iat"/)
  assertRefused(signClaims({ exp, sub: 'a', aud: 1 }), /"aud"/)
})

test('exp in the far future is accepted, up to the last date there is', () => {
  for (const exp of [nowS + 10 * 365 * 86_400, 8.64e12]) {
    assert.deepEqual(check(signClaims({ ...goodClaims, exp })), {
      ok: true,
      userId: 'user-1',
      expiresAtS: exp,
    })
  }
})

test('nbf and iat may be in the future by the tolerance and not more', () => {
  for (const name of ['nbf', 'iat']) {
    assertAccepted(signClaims({ ...goodClaims, [name]: nowS + 5 }), 'user-1')
    assertAccepted(signClaims({ ...goodClaims, [name]: 0 }), 'user-1')
    assertRefused(
      signClaims({ ...goodClaims, [name]: nowS + 5.001 }),
      new RegExp(`"${name}" is in the future`),
    )
  }
})

test('milliseconds in place of seconds are refused where they matter', () => {
  assertRefused(signClaims({ ...goodClaims, iat: nowS * 1000 }), /"iat" is in the future/)
})
