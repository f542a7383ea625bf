import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { betterAuthLogger, describeError, logTo } from '../../src/accounts/logging.ts'

function recorder() {
  const lines: [string, object, string][] = []
  const at = (level: string) => (fields: object, message: string) => {
    lines.push([level, fields, message])
  }
  return { lines, logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } }
}

for (const [message, kept] of [
  ['Invalid password', 'Invalid password'],
  ['Sign-up attempt for existing email: ada@example.com', 'Sign-up attempt for existing email'],
  ['No account of ada@example.com here', 'No account of'],
  ['Invalid origin: https://evil.example', 'Invalid origin'],
  ['The user "Ada" is not here', 'The user'],
  ["Token 'abc' is bad", 'Token'],
  ['Code 123456 is wrong', 'Code'],
  ['ada@example.com', 'failed'],
  ['', 'failed'],
] as const) {
  test(`of the message ${JSON.stringify(message)} is logged: ${kept}`, () => {
    const { lines, logger } = recorder()
    betterAuthLogger(logger).log('warn', message, { email: 'ada@example.com' }, 'secret')
    assert.deepEqual(lines, [['warn', {}, `accounts: ${kept}`]])
  })
}

test('what a request did wrong is told to its own logger, as no more than information; a failure keeps its level', () => {
  const [own, service] = [recorder(), recorder()]
  const { log } = betterAuthLogger(service.logger)
  logTo(own.logger, () => {
    log('error', 'Invalid origin: x')
    log('error', 'Failed to create user', new Error('duplicate key: secret'))
  })
  assert.deepEqual(service.lines, [])
  assert.deepEqual(
    own.lines.map(([level, , message]) => [level, message]),
    [
      ['info', 'accounts: Invalid origin'],
      ['error', 'accounts: Failed to create user'],
    ],
  )
})

test('an error is described by what it is and where it comes from, without values', () => {
  const refused = new pg.DatabaseError('invalid input syntax for type uuid: "secret"', 1, 'error')
  refused.code = '22P02'
  refused.detail = 'Key (email)=(secret) already exists.'
  const described = describeError(refused)
  assert.doesNotMatch(JSON.stringify(described), /secret/)
  assert.match(JSON.stringify(described), /"code":"22P02","message":"invalid input syntax for type uuid"/)
  assert.match(JSON.stringify(described), /logging\.test\.ts/)
})
