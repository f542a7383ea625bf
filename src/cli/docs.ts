import { readFileSync, writeFileSync } from 'node:fs'
import { runCommand } from './command.ts'
import { environmentExample, withSettingsTable } from './describe-settings.ts'

/** `npm run docs`: writes what the documents say of the settings: the table of docs/configuration.md, .env.example. */
await runCommand(async () => {
  const page = new URL('../../docs/configuration.md', import.meta.url)
  writeFileSync(page, withSettingsTable(readFileSync(page, 'utf8')))
  writeFileSync(new URL('../../.env.example', import.meta.url), environmentExample())
})
