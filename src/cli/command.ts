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
    const text =
      error instanceof OperatorError ? error.message : error instanceof Error ? error.stack : String(error)
    process.stderr.write(`${text}\n`)
    process.exitCode = 1
  }
}
