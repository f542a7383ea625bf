import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { testSecret } from '../support/app.ts'
import { createTestDatabase } from '../support/database.ts'
import { addressOf, runScript, startService, temporaryFolder } from '../support/process.ts'
import { ask } from './service.ts'

// What accounts cost a service that has none, and one that has: as processes.

const hook = new URL('loaded-modules.ts', import.meta.url)
const vendors = /\/node_modules\/(better-auth|@better-auth|better-call|@better-fetch|kysely|zod|jose)\//

async function modulesOf(accounts: 'inside' | 'off') {
  const testDatabase = await createTestDatabase()
  const list = join(temporaryFolder(), 'modules')
  const service = await startService({
    DATABASE_URL: addressOf(testDatabase.connection),
    BETTER_AUTH_SECRET: testSecret,
    ACCOUNTS: accounts,
    NODE_OPTIONS: `--import ${hook}`,
    LOADED_MODULES: list,
  })
  const token = await ask(service.url, 'GET', '/api/auth/token')
  const schemas = await testDatabase.query(`select from pg_namespace where nspname = 'auth'`)
  assert.equal((await service.end('SIGTERM')).code, 0)
  await testDatabase.drop()
  const modules = readFileSync(list, 'utf8').split('\n')
  return { modules, schemas: schemas.length, status: token.status, code: token.body.error?.code }
}

test('off: nothing of Better Auth is loaded, no schema is made, and its routes are paths like any other', async () => {
  const { modules, schemas, status, code } = await modulesOf('off')
  assert.ok(modules.some((url) => url.endsWith('/src/main.ts')) && modules.length > 100)
  assert.deepEqual(
    modules.filter((url) => vendors.test(url) || url.includes('/src/accounts/')),
    [],
  )
  assert.equal(schemas, 0)
  assert.deepEqual([status, code], [401, 'TOKEN_MISSING'])
})

test('inside: the same list has Better Auth, and of its plugins the two that are used', async () => {
  const { modules, schemas, status, code } = await modulesOf('inside')
  assert.ok(modules.some((url) => url.includes('/node_modules/better-auth/')))
  const plugins = modules.flatMap((url) => /better-auth\/dist\/plugins\/([^/]+)\/index/.exec(url)?.[1] ?? [])
  assert.deepEqual(plugins.toSorted(), ['bearer', 'jwt'])
  assert.equal(schemas, 1)
  assert.deepEqual([status, code], [401, undefined])
})

test('npm run migrate makes the tables of accounts inside, and none without', async () => {
  for (const [accounts, made] of [
    ['off', 0],
    ['inside', 6],
  ] as const) {
    const testDatabase = await createTestDatabase({ empty: true })
    const environment = {
      DATABASE_URL: addressOf(testDatabase.connection),
      BETTER_AUTH_SECRET: testSecret,
      ACCOUNTS: accounts,
    }
    const { code, stdout, stderr } = await runScript('src/cli/migrate.ts', [], environment)
    assert.equal(code, 0, stderr)
    assert.equal(stdout.match(/^applied auth\.\w+$/gm)?.length ?? 0, made)
    const again = await runScript('src/cli/migrate.ts', [], environment)
    assert.doesNotMatch(again.stdout, /applied/)
    await testDatabase.drop()
  }
})

test('start-up time and memory, with and without', {
  skip: !existsSync('/proc/self/status') && 'memory is read from /proc',
}, async (t) => {
  const testDatabase = await createTestDatabase()
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
  for (const accounts of ['off', 'inside'] as const) {
    const times: number[] = []
    const sizes: number[] = []
    for (let run = 0; run < 5; run++) {
      const service = await startService({
        DATABASE_URL: addressOf(testDatabase.connection),
        BETTER_AUTH_SECRET: testSecret,
        ACCOUNTS: accounts,
      })
      times.push(Number(/"ready_in_ms":(\d+)/.exec(service.stdout())?.[1]))
      const status = readFileSync(`/proc/${service.child.pid}/status`, 'utf8')
      sizes.push(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024)
      await service.end('SIGTERM')
    }
    t.diagnostic(
      `accounts ${accounts}: ready after ${median(times)} ms, ${Math.round(median(sizes))} MB resident`,
    )
    assert.ok(median(times) > 0)
  }
  await testDatabase.drop()
})
