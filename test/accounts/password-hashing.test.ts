import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitedPasswords } from '../../src/accounts/password-hashing.ts'

test('a hash is that of its password and no other, and two of one password differ', async () => {
  const { hash, verify } = limitedPasswords()
  const [first, second] = await Promise.all([hash('correct-horse'), hash('correct-horse')])
  assert.notEqual(first, second)
  assert.equal(await verify({ hash: first, password: 'correct-horse' }), true)
  assert.equal(await verify({ hash: second, password: 'correct-horse!' }), false)
})

test('of a crowd, as many are served in turn as can wait, and the others are told to come back', async () => {
  const { hash } = limitedPasswords()
  const outcomes = await Promise.allSettled(Array.from({ length: 40 }, () => hash('correct-horse')))
  const refused = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
  assert.equal(refused.length, 40 - 22)
  for (const { statusCode, body, headers } of refused) {
    assert.deepEqual([statusCode, body.code, headers['retry-after']], [503, 'OVERLOADED', '2'])
  }
  assert.match(await hash('correct-horse'), /^[0-9a-f]{32}:[0-9a-f]{128}$/, 'and then it is quiet again')
})

test('work that fails gives its place on', async () => {
  const { verify, hash } = limitedPasswords()
  const broken = { hash: 'no hash', password: 'x' }
  await Promise.all(Array.from({ length: 10 }, () => assert.rejects(verify(broken))))
  assert.match(await hash('correct-horse'), /:/)
})
