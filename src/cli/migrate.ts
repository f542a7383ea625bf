import { readConfig, runCommand } from './command.ts'
import { openConfiguredDatabase } from './database.ts'

/** `npm run migrate`: brings the schema of the configured database up to date and checks the wall between users. */
await runCommand(async () => {
  await using connected = await openConfiguredDatabase(readConfig())
  for (const name of connected.applied) process.stdout.write(`applied ${name}\n`)
  process.stdout.write('The schema is up to date and the wall between users holds.\n')
})
