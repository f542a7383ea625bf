import { configuredSecrets } from '../auth/configured-secrets.ts'
import { openConfiguredAccounts } from './accounts.ts'
import { readConfig, runCommand } from './command.ts'
import { openConfiguredDatabase } from './database.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** `npm run migrate`: brings the schema of the configured database up to date and checks the wall between users. */
await runCommand(async () => {
  const config = readConfig()
  await using connected = await openConfiguredDatabase(config)
  const applied = [...connected.applied]
  const accounts = await openConfiguredAccounts(config, connected, configuredSecrets(config), silent)
  try {
    applied.push(...((await accounts?.prepare()) ?? []))
  } finally {
    await accounts?.close()
  }
  for (const name of applied) process.stdout.write(`applied ${name}\n`)
  process.stdout.write('The schema is up to date and the wall between users holds.\n')
})
