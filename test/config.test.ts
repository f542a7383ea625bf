import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadConfig, settings } from '../src/config.ts'
import { problemsOf } from './support/config-problems.ts'

const strongSecret = 'q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more'
const otherSecret = 'w5Tn8-c2Hy6_AnD-ThIs-Is-the-next-one'

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
      secrets: [],
      betterAuthUrl: undefined,
      jwksUrl: undefined,
      jwtIssuer: undefined,
      jwtAudience: undefined,
      accounts: 'inside',
      publicUrl: undefined,
      clockToleranceS: 5,
      corsOrigins: [],
      trustProxy: undefined,
      rateLimitPerMinute: 1200,
      rateLimitRedisUrl: undefined,
      workers: 1,
      databasePoolMax: 10,
      maxConnections: 16_384,
      trashRetentionDays: 30,
      metricsPort: undefined,
      shutdownTimeoutMs: 10_000,
      shutdownDelayMs: 1_000,
      logLevel: 'info',
      nodeEnv: 'development',
      issuer: undefined,
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
    BETTER_AUTH_SECRETS: `2:${otherSecret},1:${strongSecret}`,
    BETTER_AUTH_URL: 'https://app.example',
    JWKS_URL: 'http://127.0.0.1:3000/keys',
    JWT_ISSUER: 'the-issuer',
    JWT_AUDIENCE: 'the-audience',
    ACCOUNTS: 'off',
    PUBLIC_URL: 'https://Tasks.Example:443/',
    JWT_CLOCK_TOLERANCE_S: '0',
    CORS_ORIGINS: 'https://app.example',
    TRUST_PROXY: '2',
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_REDIS_URL: 'redis://127.0.0.1:6379/1',
    WORKERS: '3',
    DATABASE_POOL_MAX: '3',
    TRASH_RETENTION_DAYS: '36500',
    METRICS_PORT: '9464',
    SHUTDOWN_TIMEOUT_MS: '1',
    SHUTDOWN_DELAY_MS: '2',
    LOG_LEVEL: 'debug',
    NODE_ENV: 'production',
  })
  assert.equal(config.port, 0)
  assert.equal(config.host, '::1')
  assert.equal(config.databaseUrl, 'postgresql://u:p@db.example:6432/tasks?sslmode=verify-full')
  assert.equal(config.dataDir, '/var/lib/tasks')
  assert.equal(config.secret, strongSecret)
  assert.deepEqual(config.secrets, [otherSecret, strongSecret])
  assert.deepEqual(config.issuer, {
    jwksUrl: 'http://127.0.0.1:3000/keys',
    issuer: 'the-issuer',
    audience: 'the-audience',
  })
  assert.equal(config.accounts, 'off')
  assert.equal(config.publicUrl, 'https://tasks.example')
  assert.equal(config.clockToleranceS, 0)
  assert.deepEqual(config.corsOrigins, ['https://app.example'])
  assert.equal(config.trustProxy, 2)
  assert.equal(config.rateLimitPerMinute, 0)
  assert.equal(config.rateLimitRedisUrl, 'redis://127.0.0.1:6379/1')
  assert.equal(config.workers, 3)
  assert.equal(config.databasePoolMax, 3)
  assert.equal(config.trashRetentionDays, 36_500)
  assert.equal(config.metricsPort, 9464)
  assert.equal(config.shutdownTimeoutMs, 1)
  assert.equal(config.shutdownDelayMs, 2)
  assert.equal(config.logLevel, 'debug')
  assert.equal(config.nodeEnv, 'production')
})

test('all problems are reported at once, each with its variable and never with its value', () => {
  const environment = {
    PORT: '65536',
    DATABASE_URL: 'mysql://root:hunter2@db/tasks',
    BETTER_AUTH_SECRET: 'hunter2-is-short',
    BETTER_AUTH_SECRETS: 'hunter2-is-short',
    BETTER_AUTH_URL: 'ftp://hunter2.example',
    JWKS_URL: 'http://hunter2.example/keys',
    ACCOUNTS: 'outside',
    PUBLIC_URL: 'https://hunter2@tasks.example/loud',
    JWT_CLOCK_TOLERANCE_S: '-1',
    CORS_ORIGINS: 'https://hunter2@app.example',
    TRUST_PROXY: 'hunter2',
    RATE_LIMIT_PER_MINUTE: '-1',
    RATE_LIMIT_REDIS_URL: 'http://:hunter2@redis',
    DATABASE_POOL_MAX: '0',
    TRASH_RETENTION_DAYS: '0',
    METRICS_PORT: '65536',
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
      'BETTER_AUTH_SECRETS',
      'BETTER_AUTH_URL',
      'JWKS_URL',
      'ACCOUNTS',
      'PUBLIC_URL',
      'JWT_CLOCK_TOLERANCE_S',
      'CORS_ORIGINS',
      'TRUST_PROXY',
      'RATE_LIMIT_PER_MINUTE',
      'RATE_LIMIT_REDIS_URL',
      'DATABASE_POOL_MAX',
      'TRASH_RETENTION_DAYS',
      'METRICS_PORT',
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

test('DATABASE_URL with several hosts is refused: only one would ever be asked for', () => {
  assert.match(
    problemsOf({ DATABASE_URL: 'postgres://u:hunter2@one.example,two.example/tasks' })[0] ?? '',
    /^DATABASE_URL: must name one host, such as a name that always leads to the primary$/,
  )
})

test('production without a secret and without an issuer is refused; with either it is not', () => {
  assert.match(problemsOf({ NODE_ENV: 'production' })[0] ?? '', /^BETTER_AUTH_SECRET: must be set/)
  for (const source of [
    { BETTER_AUTH_SECRET: strongSecret },
    { BETTER_AUTH_SECRETS: `1:${strongSecret}` },
    { BETTER_AUTH_URL: 'https://app.example' },
    { JWKS_URL: 'https://app.example/keys', JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' },
  ]) {
    assert.deepEqual(problemsOf({ NODE_ENV: 'production', ...source }), [])
  }
})

test('a well-known secret is refused even outside production', () => {
  const [problem = ''] = problemsOf({ BETTER_AUTH_SECRET: 'better-auth-secret-12345678901234567890' })
  assert.match(problem, /^BETTER_AUTH_SECRET: .*well-known/)
})

test('every weak or damaged entry of a list of secrets is reported, by its place and without the secret', () => {
  const list = `1:${strongSecret},short,x:${otherSecret},1:${otherSecret},3:hunter2,4:${strongSecret}`
  const problems = problemsOf({ BETTER_AUTH_SECRETS: list })
  assert.deepEqual(
    problems.map((problem) => problem.split(' ', 3).join(' ')),
    [2, 3, 4, 5].map((entry) => `BETTER_AUTH_SECRETS: entry ${entry}:`),
  )
  assert.doesNotMatch(problems.join('\n'), new RegExp(`hunter2|${strongSecret}|${otherSecret}`))
})

test('issuer, audience and keys come from BETTER_AUTH_URL, and each can be another', () => {
  const base = { BETTER_AUTH_URL: 'https://App.Example:443/' }
  const issuer = {
    jwksUrl: 'https://app.example/api/auth/jwks',
    issuer: 'https://app.example',
    audience: 'https://app.example',
  }
  assert.deepEqual(loadConfig(base).issuer, issuer)
  const other = { JWKS_URL: 'https://keys.internal/jwks' }
  assert.deepEqual(loadConfig({ ...base, ...other }).issuer, { ...issuer, jwksUrl: other.JWKS_URL })
  assert.deepEqual(loadConfig({ ...base, JWT_ISSUER: 'i' }).issuer, { ...issuer, issuer: 'i' })
  assert.deepEqual(loadConfig({ ...base, JWT_AUDIENCE: 'a' }).issuer, { ...issuer, audience: 'a' })
})

test('keys without an issuer and an audience to compare are refused, both named', () => {
  const keys = { JWKS_URL: 'https://app.example/keys' }
  assert.deepEqual(
    problemsOf(keys).map((problem) => problem.split(' ', 4).join(' ')),
    ['JWT_ISSUER: must be set', 'JWT_AUDIENCE: must be set'],
  )
  assert.match(problemsOf({ ...keys, JWT_ISSUER: 'i' }).join(), /^JWT_AUDIENCE: must be set[^\n]*$/)
  assert.deepEqual(problemsOf({ ...keys, JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' }), [])
})

test('an issuer or audience without keys is refused: it would be compared with nothing', () => {
  assert.match(
    problemsOf({ JWT_ISSUER: 'i', JWT_AUDIENCE: 'a', BETTER_AUTH_SECRET: strongSecret }).join('\n'),
    /^JWT_ISSUER: does nothing .*\nJWT_AUDIENCE: does nothing /,
  )
})

test('keys are fetched over https, or over http from this machine alone', () => {
  const names = { JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' }
  for (const host of ['localhost:3000', '127.0.0.1', '127.1', '[::1]:3000', 'LOCALHOST']) {
    assert.deepEqual(problemsOf({ ...names, JWKS_URL: `http://${host}/jwks` }), [])
    assert.deepEqual(problemsOf({ BETTER_AUTH_URL: `http://${host}` }), [])
  }
  for (const host of [
    'app.example',
    '10.0.0.1',
    'localhost.example',
    '127.0.0.1.example',
    '[::2]',
    '0.0.0.0',
  ]) {
    assert.match(
      problemsOf({ ...names, JWKS_URL: `http://${host}/jwks` }).join(),
      /^JWKS_URL: must begin with https/,
    )
    assert.match(
      problemsOf({ BETTER_AUTH_URL: `http://${host}` }).join(),
      /^BETTER_AUTH_URL: must begin with https/,
    )
    assert.deepEqual(problemsOf({ BETTER_AUTH_URL: `http://${host}`, JWKS_URL: 'https://keys.example' }), [])
  }
})

for (const name of ['BETTER_AUTH_URL', 'JWKS_URL']) {
  test(`${name} that is no web address, or holds a password, is refused`, () => {
    for (const text of [
      'app.example',
      'localhost:3000',
      'file:///etc/passwd',
      'https:app.example',
      'https://',
      'https://user:hunter2@app.example',
      'https://user@app.example',
      'https://app.example/#hunter2',
      ' https://app.example',
    ]) {
      const problems = problemsOf({ [name]: text, JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' })
      assert.match(problems.join('\n'), new RegExp(`^${name}: must [^\\n]*$`), text)
      assert.doesNotMatch(problems.join(), /hunter2/)
    }
  })
}

test('a query is refused in BETTER_AUTH_URL and accepted in JWKS_URL', () => {
  assert.match(problemsOf({ BETTER_AUTH_URL: 'https://app.example/?a=1' }).join(), /must not have a \?/)
  const issuer = { BETTER_AUTH_URL: 'https://app.example', JWKS_URL: 'https://app.example/jwks?a=1' }
  assert.deepEqual(problemsOf(issuer), [])
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

test('METRICS_PORT must be another port than PORT, the default one included, unless the system chooses it', () => {
  for (const environment of [{ METRICS_PORT: '8000' }, { PORT: '9464', METRICS_PORT: '9464' }]) {
    assert.throws(() => loadConfig(environment), /METRICS_PORT: must be another port than PORT/)
  }
  assert.equal(loadConfig({ PORT: '0', METRICS_PORT: '0' }).metricsPort, 0)
  assert.equal(loadConfig({ METRICS_PORT: '' }).metricsPort, undefined)
})
