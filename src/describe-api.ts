import { createApp } from './app.ts'
import { createVerifier } from './auth/verifier.ts'
import { openDatabase } from './db/database.ts'
import { createLogger } from './ops/logging.ts'

/** The OpenAPI document as it is committed: the app is put together, but nothing is connected or listens. */
export async function describeApi(): Promise<string> {
  const app = await createApp({
    database: openDatabase({ connection: {}, poolMax: 1 }),
    verifier: createVerifier({ secrets: ['not used: nothing is verified here'], clockToleranceS: 0 }),
    logger: createLogger('silent'),
  })
  const document = app.swagger()
  await app.close()
  return `${JSON.stringify(document, null, 2)}\n`
}
