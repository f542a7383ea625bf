import assert from 'node:assert/strict'
import { ConfigError, loadConfig } from '../../src/config.ts'

/** What is wrong with an environment, as the operator is told. */
export function problemsOf(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems
  }
  return []
}
