import assert from 'node:assert/strict'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { signToken } from '../src/cli/sign-token.ts'
import { eventually, runScript, startService, temporaryFolder } from './support/process.ts'

// The service as a process, with the embedded database that a newcomer gets.

function authorize(dataDir: string, userId = 'demo'): Record<string, string> {
  const secret = readFileSync(join(dataDir, 'secret'), 'utf8').trim()
  return { authorization: `Bearer ${signToken({ secret, userId })}`, 'content-type': 'application/json' }
}

function serverPid(dataDir: string): number {
  return Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function titles(url: string, dataDir: string): Promise<string[]> {
  const response = await fetch(`${url}/api/me/tasks?limit=500`, { headers: authorize(dataDir) })
  assert.equal(response.status, 200)
  const { data } = (await response.json()) as { data: { title: string }[] }
  return data.map(({ title }) => title)
}

async function create(url: string, dataDir: string, title: string): Promise<number> {
  const body = JSON.stringify({ title })
  return (await fetch(`${url}/api/me/tasks`, { method: 'POST', headers: authorize(dataDir), body })).status
}

test('the first start makes database and secret, the message says what to do, and a second start finds all of it', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const first = await startService({ DATA_DIR: dataDir })
  assert.match(first.stdout(), new RegExp(`Address +${first.url}\n`))
  assert.match(first.stdout(), new RegExp(`Docs +${first.url}/docs\n`))
  assert.match(first.stdout(), new RegExp(`curl -sS ${first.url}/api/auth/sign-up/email .*-d "\\$demo"`))
  assert.match(first.stdout(), new RegExp(`curl -sS ${first.url}/api/me/tasks `))
  assert.equal(statSync(join(dataDir, 'secret')).mode & 0o777, 0o600)
  const secret = readFileSync(join(dataDir, 'secret'), 'utf8')
  assert.equal(await create(first.url, dataDir, 'kept'), 201)
  const pid = serverPid(dataDir)

  const stopped = await first.end('SIGTERM')
  assert.equal(stopped.code, 0)
  await eventually(async () => !isAlive(pid))
  assert.doesNotMatch(stopped.stdout + stopped.stderr, new RegExp(secret.trim()))

  const second = await startService({ DATA_DIR: dataDir })
  assert.equal(readFileSync(join(dataDir, 'secret'), 'utf8'), secret)
  assert.deepEqual(await titles(second.url, dataDir), ['kept'])
  assert.equal((await second.end('SIGINT')).code, 0)
})

test('after kill -9 the database that was left running is used again, and then stopped', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const killed = await startService({ DATA_DIR: dataDir })
  assert.equal(await create(killed.url, dataDir, 'acknowledged'), 201)
  const pid = serverPid(dataDir)
  await killed.end('SIGKILL')
  assert.equal(isAlive(pid), true)

  const next = await startService({ DATA_DIR: dataDir })
  assert.equal(serverPid(dataDir), pid)
  assert.deepEqual(await titles(next.url, dataDir), ['acknowledged'])
  assert.equal((await next.end('SIGTERM')).code, 0)
  await eventually(async () => !isAlive(pid))
})

test('a second service on the same folder ends with one clear message, and the first serves on', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const first = await startService({ DATA_DIR: dataDir })
  const second = await runScript('src/main.ts', [], { DATA_DIR: dataDir, PORT: '0' })
  assert.equal(second.code, 1)
  assert.match(
    second.stderr,
    new RegExp(`${dataDir}/postgres is in use by process ${first.child.pid}\\..*DATA_DIR`),
  )
  assert.doesNotMatch(second.stderr, /\n +at /)
  assert.equal(await create(first.url, dataDir, 'still here'), 201)
  assert.equal((await first.end('SIGTERM')).code, 0)
})

test('the database is killed: 503 while it is away, and it comes back by itself with what was acknowledged', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const service = await startService({ DATA_DIR: dataDir })
  assert.equal(await create(service.url, dataDir, 'before'), 201)
  process.kill(serverPid(dataDir), 'SIGKILL')
  const statuses: number[] = []
  // A connection's own process may outlive the killed server for a moment and still commit, so one 201 is no end.
  await eventually(async () => {
    statuses.push(await create(service.url, dataDir, 'after'))
    return service.stdout().includes('"type":"restarted"') && statuses.at(-1) === 201
  })
  assert.deepEqual(
    statuses.filter((status) => status !== 201 && status !== 503),
    [],
  )
  const acknowledged = statuses.filter((status) => status === 201).length
  const found = await titles(service.url, dataDir)
  // What was answered 503 may have been written all the same.
  const written = found.filter((title) => title === 'after').length
  assert.ok(
    written >= acknowledged && written <= statuses.length,
    `${acknowledged} of ${statuses.length}: ${written}`,
  )
  assert.ok(found.includes('before'))
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('settings in .env are read, and the environment wins over them', async () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, '.env'), 'DATA_DIR=from-file\nLOG_LEVEL=loud\n')
  const refused = await runScript('src/main.ts', [], { PORT: '0' }, folder)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /LOG_LEVEL: must be one of/)
  const service = await startService({ LOG_LEVEL: 'info' }, folder)
  assert.ok(statSync(join(folder, 'from-file', 'postgres')).isDirectory())
  assert.equal((await service.end('SIGTERM')).code, 0)
})

test('an unusable configuration is told in full before anything is started', async () => {
  const { code, stderr, stdout } = await runScript('src/main.ts', [], { PORT: 'x', NODE_ENV: 'production' })
  assert.equal(code, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /2 problems/)
  assert.match(stderr, /PORT: must be a whole number/)
  assert.match(stderr, /BETTER_AUTH_SECRET: must be set/)
  assert.doesNotMatch(stderr, /\n +at /)
})

test('a port in use is told in one line', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1')
  t.after(() => blocker.close())
  await new Promise((resolve) => blocker.once('listening', resolve))
  const address = blocker.address()
  assert.ok(typeof address === 'object' && address !== null)
  const dataDir = join(temporaryFolder(), 'data')
  const { code, stderr } = await runScript('src/main.ts', [], {
    DATA_DIR: dataDir,
    PORT: String(address.port),
  })
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`^Port ${address.port} of 127.0.0.1 is in use: .*\n$`))
  assert.throws(() => serverPid(dataDir), 'the database was stopped again')
})
