import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OperatorError } from '../errors.ts'
import { describeWeakSecret } from './secret-strength.ts'

/**
 * The secret of a machine where none is configured: made once, kept in `secret` in the data folder, readable by its
 * owner alone.
 *
 * @param dataDir folder; made when it is missing
 * @throws OperatorError when the file holds no usable secret
 */
export function developmentSecret(dataDir: string): string {
  const file = join(dataDir, 'secret')
  mkdirSync(dataDir, { recursive: true })
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 })
  try {
    // A link is made whole or not at all, and never replaces the file of another start.
    linkSync(draft, file)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    rmSync(draft)
  }
  const secret = readFileSync(file, 'utf8').trim()
  const weakness = describeWeakSecret(secret)
  if (weakness !== undefined) throw new OperatorError(`The file ${file} cannot be used. ${weakness}`)
  return secret
}
