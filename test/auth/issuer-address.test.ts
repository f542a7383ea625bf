import assert from 'node:assert/strict'
import { test } from 'node:test'
import { issuerAddress } from '../../src/auth/issuer-address.ts'

test('tokens name the origin; keys are below the path, or below /api/auth without one', () => {
  for (const [baseUrl, origin, jwksUrl] of [
    ['http://localhost:3000', 'http://localhost:3000', 'http://localhost:3000/api/auth/jwks'],
    ['http://localhost:3000///', 'http://localhost:3000', 'http://localhost:3000/api/auth/jwks'],
    ['https://App.Example:443', 'https://app.example', 'https://app.example/api/auth/jwks'],
    ['https://app.example/api/auth', 'https://app.example', 'https://app.example/api/auth/jwks'],
    ['https://app.example/auth/', 'https://app.example', 'https://app.example/auth/jwks'],
    ['https://app.example/a/b', 'https://app.example', 'https://app.example/a/b/jwks'],
  ] as const) {
    assert.deepEqual(issuerAddress(baseUrl), { origin, jwksUrl }, baseUrl)
  }
})
