import { writeFileSync } from 'node:fs'
import { describeApi } from '../describe-api.ts'
import { runCommand } from './command.ts'

/** `npm run openapi`: writes openapi.json from the schemas of the routes. */
await runCommand(async () => {
  writeFileSync(new URL('../../openapi.json', import.meta.url), await describeApi())
})
