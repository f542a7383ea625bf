import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { describeWeakSecret } from '../../src/auth/secret-strength.ts'

function assertWeak(secret: string, why: RegExp): void {
  const description = describeWeakSecret(secret)
  assert.ok(description !== undefined, `"${secret}" passes`)
  assert.match(description, why)
  assert.match(description, /openssl rand -base64 32/)
  assert.ok(secret === '' || secret.length < 8 || !description.includes(secret), 'the secret is shown')
}

test('random secrets of every usual form pass', () => {
  for (let round = 0; round < 2000; round++) {
    for (const secret of [
      randomBytes(32).toString('base64'),
      randomBytes(32).toString('base64url'),
      randomBytes(32).toString('hex'),
      randomBytes(24).toString('base64'),
      randomUUID(),
    ]) {
      assert.equal(describeWeakSecret(secret), undefined, secret)
    }
  }
})

test('a passphrase of several words passes', () => {
  assert.equal(describeWeakSecret('granite-otter-violin-seventh-bakery-moon'), undefined)
})

test('31 bytes are too few and 32 are enough, counted in UTF-8', () => {
  assertWeak('hXn0mP3sYk7qVw2dRb9tLc5eFg8jZa4', /31 bytes/)
  assert.equal(describeWeakSecret('hXn0mP3sYk7qVw2dRb9tLc5eFg8jZa4u'), undefined)
  assert.equal(describeWeakSecret('äöüßéèêñçøåæœðþłšžřů'.slice(0, 16)), undefined)
  assertWeak('', /0 bytes/)
})

test('seven different characters are too few and eight are enough', () => {
  const mix = (alphabet: string) =>
    Array.from(
      { length: 40 },
      (_, index) => alphabet[(index * index * 7 + (index >> 2)) % alphabet.length],
    ).join('')
  assertWeak(mix('axkqzmt'), /different characters/)
  assert.equal(new Set(mix('axkqzmtw1579')).size >= 8, true)
  assert.equal(describeWeakSecret(mix('axkqzmtw1579')), undefined)
  assertWeak('a'.repeat(64), /different characters/)
})

test('well-known values are refused in any case, with white space around and with other separators', () => {
  for (const secret of [
    'better-auth-secret-12345678901234567890',
    'Better-Auth-Secret-12345678901234567890',
    '  better-auth-secret-12345678901234567890\n',
    'better_auth_secret_12345678901234567890',
    'super-secret-jwt-token-with-at-least-32-characters-long',
    'a-string-secret-at-least-256-bits-long',
    'a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long',
    '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7',
    '404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970',
    'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
    'complex_password_at_least_32_characters_long',
    'my_super_secure_hackathon_secret_key_2025',
    'dev-secret-at-least-32-characters-long!',
  ]) {
    assertWeak(secret, /well-known/)
  }
})

test('placeholders that ask to be replaced are refused', () => {
  for (const secret of [
    'your-super-secret-key-min-32-characters-for-development-only',
    'YOUR_BETTER_AUTH_SECRET_GOES_HERE_PLEASE',
    'your-256-bit-secret-your-256-bit-secret-x',
    '<your-random-secret-of-32-characters>',
    'change-me-to-a-long-random-string-please',
    'changemechangemechangemechangemechangeme',
    'dev_better_auth_secret_change_me_32_chars',
    'dev-secret-change-this-in-production-32chars',
    'secret-key-to-be-changed-in-production-change-in-production',
    'replace-with-at-least-32-random-characters',
    'this-should-be-replaced-with-a-better-secret-key',
    'placeholder_secret_for_build_and_for_ci_only',
    'django-insecure-8f0z3kq1x7vw5n2m9c4b6t-p+l@s',
  ]) {
    assertWeak(secret, /placeholder/)
  }
})

test('repetitions of a shorter value are refused, the last one cut or not', () => {
  assertWeak('g7Hk2mQx'.repeat(4), /repeats/)
  assertWeak('g7Hk2mQx'.repeat(5).slice(0, 37), /repeats/)
  assertWeak('0123456789abcdef0123456789abcdef', /repeats/)
  assertWeak('better-auth-key-better-auth-key-better-auth-key-', /repeats/)
})

test('a long value that is written twice is as good as the value', () => {
  assert.equal(describeWeakSecret('hXn0mP3sYk7qVw2dRb9tLc5eFg8jZa4u'.repeat(2)), undefined)
})

test('sequences are refused', () => {
  for (const secret of [
    'abcdefghijklmnopqrstuvwxyz0123456789',
    'zyxwvutsrqponmlkjihgfedcba9876543210',
    'aabbccddeeffgghhiijjkkllmmnnooppqqrr',
    'qwertyuiopasdfghjklzxcvbnm1234567890',
    'QWERTYUIOPlkjhgfdsaZXCVBNM0987654321',
    'poiuytrewqlkjhgfdsamnbvcxzPOIUYTREWQ',
  ]) {
    assertWeak(secret, /run of letters/)
  }
})

test('no description ever shows the secret', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 8, maxLength: 80 }), (secret) => {
      const description = describeWeakSecret(secret)
      return description === undefined || !description.includes(secret)
    }),
  )
})
