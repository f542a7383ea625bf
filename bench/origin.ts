import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { Origin } from './result.ts'

const root = fileURLToPath(new URL('../', import.meta.url))

/** Where and with what a result came about. */
export async function originOf(connectionString: string): Promise<Origin> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  const { rows } = await client.query<{ server_version: string }>('show server_version')
  await client.end()
  const { devDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  return {
    date: new Date().toISOString(),
    commit: commit(),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryBytes: totalmem(),
      system: `${type()} ${release()}`,
    },
    versions: {
      node: process.version,
      postgresql: rows[0]?.server_version ?? 'unknown',
      autocannon: devDependencies.autocannon,
    },
  }
}

/** With a plus when the sources are not those of the commit. */
function commit(): string {
  const git = (...words: string[]) => execFileSync('git', words, { cwd: root, encoding: 'utf8' }).trim()
  try {
    const changed = git('status', '--porcelain', '--', 'src', 'migrations', 'package-lock.json')
    return `${git('rev-parse', '--short=12', 'HEAD')}${changed === '' ? '' : '+'}`
  } catch {
    return 'unknown'
  }
}
