import { existsSync } from 'node:fs'
import { type Config, loadConfig } from '../config.ts'
import { OperatorError } from '../errors.ts'

/** The configuration from the environment and, when there is one, the file `.env`, whose values never win. */
export function readConfig(): Config {
  if (existsSync('.env')) process.loadEnvFile('.env')
  return loadConfig(process.env)
}

/**
 * Runs a command with the arguments of the command line. A failure that the operator can mend is told in one
 * message, any other with its stack; both end with exit code 1.
 */
export async function runCommand(command: (args: string[]) => Promise<void>): Promise<void> {
  try {
    await command(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${describeFailure(error)}\n`)
    process.exitCode = 1
  }
}

/** A failure for the operator: what can be mended in its own words, a defect with its stack. */
export function describeFailure(error: unknown): string {
  if (error instanceof OperatorError) return error.message
  return (error instanceof Error && error.stack) || String(error)
}
