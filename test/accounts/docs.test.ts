import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { accountRoutes } from '../../src/accounts/routes.ts'
import { startupMessage } from '../../src/ops/startup-message.ts'
import { startAccounts } from './service.ts'

const page = readFileSync(new URL('../../docs/accounts.md', import.meta.url), 'utf8')

test('docs/accounts.md lists every route with its method, and no other', () => {
  const listed = Array.from(page.matchAll(/^\| (GET|POST) \/api\/auth(\/\S+) \|/gm), ([, method, path]) => [
    path,
    method,
  ])
  assert.deepEqual(Object.fromEntries(listed), accountRoutes)
})

test('docs/accounts.md lists every table of the schema, and no other', async () => {
  const { testDatabase } = await startAccounts()
  const tables = await testDatabase.query<{ name: string }>(
    `select 'auth.' || table_name as name from information_schema.tables where table_schema = 'auth'`,
  )
  const listed = Array.from(page.matchAll(/^\| (auth\.\w+) \|/gm), ([, name]) => name)
  assert.deepEqual(listed.toSorted(), tables.map(({ name }) => name).toSorted())
})

test('its first task is that of the start-up message', () => {
  const [, block = ''] = /```sh\n([^`]+)```/.exec(page) ?? []
  const address = 'http://127.0.0.1:8000'
  const message = startupMessage({ address, readyInMs: 1, database: 'x', firstRequest: 'account' })
  assert.ok(message.includes(block.replaceAll(/^/gm, '  ').trimEnd()), block)
  assert.equal(spawnSync('sh', ['-n'], { input: block }).status, 0)
})
