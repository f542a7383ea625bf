import { generateKeyPairSync, type KeyObject, sign as signBytes, verify as verifyBytes } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { jwtVerify } from 'jose'
import { KeySet } from '../src/auth/key-set.ts'
import { createVerifier, type Verifier } from '../src/auth/verifier.ts'
import { signToken } from '../src/cli/sign-token.ts'

// How long it takes to check a token: node bench/verifier.ts. Each figure is the median of several rounds, the rounds
// of the contestants taking turns, so that what else the machine does meets all of them alike.

const rounds = 9
const secret = 'q8Zr4-v1Kx9_ThIs-Is-32-bytes-or-more'
const issuer = 'https://app.example'
const iat = Math.floor(Date.now() / 1000)
const expiresInS = 900

type Key = {
  readonly alg: string
  readonly publicKey: KeyObject | Uint8Array
  /** A token that nobody has seen before. */
  newToken(): string
}

let serial = 0

/** The claims of a token of Better Auth's jwt plugin. */
function claims(): object {
  const user = { id: 'vT3k9QmX2bLw7RzYcH5nJp8sDf1aGe4u', name: 'Ada Lovelace', email: 'ada@example.com' }
  const times = {
    createdAt: '2026-11-01T00:00:00.000Z',
    updatedAt: '2026-11-01T00:00:00.000Z',
    iat,
    exp: iat + expiresInS,
  }
  return {
    ...user,
    emailVerified: true,
    ...times,
    sub: user.id,
    iss: issuer,
    aud: issuer,
    jti: `${serial++}`,
  }
}

function asymmetric(alg: string): Key & { jwk: object } {
  const { publicKey, privateKey } = generate(alg)
  const hash = alg === 'EdDSA' ? null : 'sha256'
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  return {
    alg,
    publicKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), alg, kid: alg },
    newToken() {
      const input = `${encode({ alg, kid: alg })}.${encode(claims())}`
      const signature = signBytes(hash, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
      return `${input}.${signature.toString('base64url')}`
    },
  }
}

function generate(alg: string) {
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519')
  if (alg === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return generateKeyPairSync('rsa', { modulusLength: 2048 })
}

const hs256: Key = {
  alg: 'HS256',
  publicKey: new TextEncoder().encode(secret),
  newToken: () => signToken({ secret, userId: `vT3k9QmX2bLw7RzYcH5nJp8sDf1aGe4u-${serial++}`, expiresInS }),
}

const asymmetricKeys = ['EdDSA', 'ES256', 'RS256'].map(asymmetric)

function newVerifier(cacheSize: number): Verifier {
  const keys = new KeySet({ load: async () => ({ keys: asymmetricKeys.map(({ jwk }) => jwk) }) })
  return createVerifier({
    secrets: [secret],
    jwks: { keys, issuer, audience: issuer },
    clockToleranceS: 5,
    cacheSize,
  })
}

async function mustAccept(verifier: Verifier, token: string): Promise<void> {
  const verified = verifier.verify(token)
  const verification = verified instanceof Promise ? await verified : verified
  if (!verification.ok) throw new Error(verification.reason)
}

async function joseAccepts({ alg, publicKey }: Key, token: string): Promise<void> {
  const names = alg === 'HS256' ? {} : { issuer, audience: issuer }
  await jwtVerify(token, publicKey, { algorithms: [alg], ...names })
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

type Contestant = { readonly name: string; run(tokens: readonly string[]): Promise<void> }

/** Microseconds a check, by contestant. */
async function compare(key: Key, count: number, contestants: readonly Contestant[]): Promise<number[]> {
  const times = contestants.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    const tokens = Array.from({ length: count }, () => key.newToken())
    for (const [index, { run }] of contestants.entries()) {
      const startedAt = performance.now()
      await run(tokens)
      times[index]?.push(((performance.now() - startedAt) / count) * 1000)
    }
  }
  return times.map(median)
}

const inTurn = (check: (token: string) => Promise<void>) => async (tokens: readonly string[]) => {
  for (const token of tokens) await check(token)
}
const together = (check: (token: string) => Promise<void>) => async (tokens: readonly string[]) => {
  await Promise.all(tokens.map(check))
}

/** One token again and again: what a client's requests in one minute are. */
async function cachedTime(key: Key): Promise<number> {
  const verifier = newVerifier(10_000)
  const token = key.newToken()
  for (let n = 0; n < 20_000; n++) await mustAccept(verifier, token)
  const times = []
  for (let round = 0; round < rounds; round++) {
    const count = 100_000
    const startedAt = performance.now()
    for (let n = 0; n < count; n++) {
      const verification = verifier.verify(token)
      if (verification instanceof Promise || !verification.ok) throw new Error('not from the cache')
    }
    times.push(((performance.now() - startedAt) / count) * 1000)
  }
  return median(times)
}

/** While checks run without a pause, 8 at a time: how late a timer of 1 ms is, and what of the main thread they take. */
async function eventLoop(
  key: Key,
  contestant: (token: string) => Promise<void>,
): Promise<{ p50: number; p99: number; mainUs: number }> {
  const tokens = Array.from({ length: 8000 }, () => key.newToken())
  const delay = monitorEventLoopDelay({ resolution: 1 })
  let next = 0
  const before = process.threadCpuUsage()
  delay.enable()
  const worker = async () => {
    for (let token = tokens[next++]; token !== undefined; token = tokens[next++]) await contestant(token)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  delay.disable()
  const { user, system } = process.threadCpuUsage(before)
  return {
    p50: delay.percentile(50) / 1e6,
    p99: delay.percentile(99) / 1e6,
    mainUs: (user + system) / tokens.length,
  }
}

function print(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  for (const row of rows) {
    process.stdout.write(`${row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('   ')}\n`)
  }
  process.stdout.write('\n')
}

const verifier = newVerifier(0)
const check = (token: string) => mustAccept(verifier, token)
for (const key of [hs256, ...asymmetricKeys]) await check(key.newToken())

const table = [['µs a check', 'cached', 'one by one', 'jose', '200 at once', 'jose']]
for (const key of [hs256, ...asymmetricKeys]) {
  const jose = (token: string) => joseAccepts(key, token)
  const [one = 0, joseOne = 0] = await compare(key, 500, [
    { name: 'ours', run: inTurn(check) },
    { name: 'jose', run: inTurn(jose) },
  ])
  const [many = 0, joseMany = 0] = await compare(key, 200, [
    { name: 'ours', run: together(check) },
    { name: 'jose', run: together(jose) },
  ])
  const figures = [await cachedTime(key), one, joseOne, many, joseMany]
  table.push([key.alg, ...figures.map((us) => us.toFixed(us < 10 ? 2 : 0))])
}
print(table)

/** The same signature check on the main thread, to compare with. */
const blocking = (key: Key) => async (token: string) => {
  const at = token.lastIndexOf('.')
  const [input, signature] = [Buffer.from(token.slice(0, at)), Buffer.from(token.slice(at + 1), 'base64url')]
  if (key.publicKey instanceof Uint8Array) throw new Error('not a public key')
  const options = { key: key.publicKey, dsaEncoding: 'ieee-p1363' as const }
  const hash = key.alg === 'EdDSA' ? null : 'sha256'
  if (!verifyBytes(hash, input, options, signature)) throw new Error(key.alg)
  // Lets the event loop turn after each, as a server would.
  await new Promise((resolve) => setImmediate(resolve))
}

const loop = [
  [
    '8 at a time',
    'main thread µs',
    'delay ms p50',
    'p99',
    'jose: µs',
    'p50',
    'p99',
    'blocking: µs',
    'p50',
    'p99',
  ],
]
for (const key of asymmetricKeys) {
  const cells: string[] = []
  for (const contestant of [check, (token: string) => joseAccepts(key, token), blocking(key)]) {
    const { mainUs, p50, p99 } = await eventLoop(key, contestant)
    cells.push(mainUs.toFixed(0), p50.toFixed(2), p99.toFixed(2))
  }
  loop.push([key.alg, ...cells])
}
print(loop)
