import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, loadConfig, settings } from '../src/config.ts'

const strongSecret = 'q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more'

function problemsOf(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems
  }
  return []
}

test('an empty environment gives the defaults, frozen', () => {
  const config = loadConfig({})
  assert.deepEqual(
    { ...config },
    {
      port: 8000,
      host: '127.0.0.1',
      databaseUrl: undefined,
      dataDir: '.data',
      secret: undefined,
      accounts: 'inside',
      publicUrl: undefined,
      clockToleranceS: 5,
      databasePoolMax: 10,
      shutdownTimeoutMs: 10_000,
      logLevel: 'info',
      nodeEnv: 'development',
    },
  )
  assert.ok(Object.isFrozen(config))
})

test('an empty variable counts as unset', () => {
  const empty = Object.fromEntries(Object.values(settings).map(({ name }) => [name, '']))
  assert.deepEqual(loadConfig(empty), loadConfig({}))
})

test('every setting is read from its variable', () => {
  const config = loadConfig({
    PORT: '0',
    HOST: '::1',
    DATABASE_URL: 'postgresql://u:p@db.example:6432/tasks?sslmode=verify-full',
    DATA_DIR: '/var/lib/tasks',
    BETTER_AUTH_SECRET: strongSecret,
    ACCOUNTS: 'off',
    PUBLIC_URL: 'https://Tasks.Example:443/',
    JWT_CLOCK_TOLERANCE_S: '0',
    DATABASE_POOL_MAX: '3',
    SHUTDOWN_TIMEOUT_MS: '1',
    LOG_LEVEL: 'debug',
    NODE_ENV: 'production',
  })
  assert.equal(config.port, 0)
  assert.equal(config.host, '::1')
  assert.equal(config.databaseUrl, 'postgresql://u:p@db.example:6432/tasks?sslmode=verify-full')
  assert.equal(config.dataDir, '/var/lib/tasks')
  assert.equal(config.secret, strongSecret)
  assert.equal(config.accounts, 'off')
  assert.equal(config.publicUrl, 'https://tasks.example')
  assert.equal(config.clockToleranceS, 0)
  assert.equal(config.databasePoolMax, 3)
  assert.equal(config.shutdownTimeoutMs, 1)
  assert.equal(config.logLevel, 'debug')
  assert.equal(config.nodeEnv, 'production')
})

test('all problems are reported at once, each with its variable and never with its value', () => {
  const environment = {
    PORT: '65536',
    DATABASE_URL: 'mysql://root:hunter2@db/tasks',
    BETTER_AUTH_SECRET: 'hunter2-is-short',
    ACCOUNTS: 'outside',
    PUBLIC_URL: 'https://hunter2@tasks.example/loud',
    JWT_CLOCK_TOLERANCE_S: '-1',
    DATABASE_POOL_MAX: '0',
    SHUTDOWN_TIMEOUT_MS: '1e3',
    LOG_LEVEL: 'loud',
    NODE_ENV: 'prod',
  }
  const problems = problemsOf(environment)
  assert.deepEqual(
    problems.map((problem) => problem.split(':', 1)[0]),
    [
      'PORT',
      'DATABASE_URL',
      'BETTER_AUTH_SECRET',
      'ACCOUNTS',
      'PUBLIC_URL',
      'JWT_CLOCK_TOLERANCE_S',
      'DATABASE_POOL_MAX',
      'SHUTDOWN_TIMEOUT_MS',
      'LOG_LEVEL',
      'NODE_ENV',
    ],
  )
  assert.doesNotMatch(problems.join('\n'), /hunter2|mysql|loud|65536\b.*65536/)
})

for (const text of [' 80', '80 ', '0x50', '+80', '8e1', '80.0', '٨٠', '99999999999']) {
  test(`PORT ${JSON.stringify(text)} is refused, not read as something near it`, () => {
    assert.match(problemsOf({ PORT: text })[0] ?? '', /^PORT: must be a whole number from 0 to 65535$/)
  })
}

for (const text of ['tasks', 'http://db/tasks', 'postgres:/db', 'postgres://[::1', 'host=db dbname=tasks']) {
  test(`DATABASE_URL ${JSON.stringify(text)} is refused with an example`, () => {
    assert.match(
      problemsOf({ DATABASE_URL: text })[0] ?? '',
      /^DATABASE_URL: must be an address such as postgres:\/\//,
    )
  })
}

test('production without a secret is refused; with one it is not', () => {
  assert.match(problemsOf({ NODE_ENV: 'production' })[0] ?? '', /^BETTER_AUTH_SECRET: must be set/)
  assert.deepEqual(problemsOf({ NODE_ENV: 'production', BETTER_AUTH_SECRET: strongSecret }), [])
})

test('a well-known secret is refused even outside production', () => {
  const [problem = ''] = problemsOf({ BETTER_AUTH_SECRET: 'better-auth-secret-12345678901234567890' })
  assert.match(problem, /^BETTER_AUTH_SECRET: .*well-known/)
})

for (const [name, value] of [
  ['BETTER_AUTH_SECRET', strongSecret],
  ['BETTER_AUTH_SECRETS', `2:${strongSecret}`],
  ['BETTER_AUTH_URL', 'https://auth.example'],
  ['JWKS_URL', 'https://auth.example/jwks'],
] as const) {
  test(`accounts are off where ${name} says that others issue tokens`, () => {
    const others = { [name]: value, JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' }
    assert.equal(loadConfig(name === 'JWKS_URL' ? others : { [name]: value }).accounts, 'off')
  })
}

test('accounts are inside beside a secret when asked for, and never beside an issuer', () => {
  assert.equal(loadConfig({ BETTER_AUTH_SECRET: strongSecret, ACCOUNTS: 'inside' }).accounts, 'inside')
  const problems = problemsOf({ BETTER_AUTH_URL: 'https://auth.example', ACCOUNTS: 'inside' })
  assert.match(problems.join('\n'), /^ACCOUNTS: cannot be inside beside an issuer elsewhere[^\n]*$/)
})

test('accounts are inside where nothing else can issue tokens, unless switched off', () => {
  assert.equal(loadConfig({}).accounts, 'inside')
  assert.equal(loadConfig({ BETTER_AUTH_SECRET: '' }).accounts, 'inside')
  assert.equal(loadConfig({ ACCOUNTS: 'off' }).accounts, 'off')
})

test('accounts inside in production need the address that browsers use, and a secret', () => {
  const production = { NODE_ENV: 'production', ACCOUNTS: 'inside' }
  const [secret = '', address = ''] = problemsOf(production)
  assert.match(secret, /^BETTER_AUTH_SECRET: must be set/)
  assert.match(address, /^PUBLIC_URL: must be set/)
  const complete = { ...production, BETTER_AUTH_SECRET: strongSecret, PUBLIC_URL: 'https://tasks.example' }
  assert.deepEqual(problemsOf(complete), [])
})

for (const text of [
  'tasks.example',
  'ftp://tasks.example',
  'https://',
  'https://a.example/b',
  'https://a.example?b',
  'https://u:p@a.example',
  'https://a.example#b',
]) {
  test(`PUBLIC_URL ${JSON.stringify(text)} is refused with an example`, () => {
    assert.match(
      problemsOf({ PUBLIC_URL: text })[0] ?? '',
      /^PUBLIC_URL: must be an address without a path, such as/,
    )
  })
}
