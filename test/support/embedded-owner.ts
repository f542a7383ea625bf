import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts'

/**
 * A process that owns (or joins) an embedded PostgreSQL until SIGTERM: `node embedded-owner.ts <dataDir> [join]`.
 * Writes a line of JSON when it runs, or when it cannot; SIGKILL and SIGINT end it as they end a service that fails.
 */
const [dataDir = '', mode] = process.argv.slice(2)
const write = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

try {
  const database = await startEmbeddedPostgres({
    dataDir,
    mode: mode === 'join' ? 'join' : 'exclusive',
    durable: false,
  })
  process.once('SIGTERM', () => void database.stop())
  // A joined server has no connection that keeps this process alive.
  process.stdin.resume()
  process.once('SIGTERM', () => process.stdin.destroy())
  write({ connection: database.connection, owned: database.owned })
} catch (error) {
  write({ error: String(error) })
  process.exitCode = 1
}
