import { startApp, type TestService } from '../support/app.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

/**
 * Two instances on one database, for the time of some work.
 *
 * @param prepare changes the database before the instances start
 */
export async function withTwoInstances<T>(
  work: (services: readonly [TestService, TestService]) => Promise<T>,
  prepare: (testDatabase: TestDatabase) => Promise<void> = async () => {},
): Promise<T> {
  const testDatabase = await createTestDatabase()
  await prepare(testDatabase)
  const services = [await startApp({ testDatabase }), await startApp({ testDatabase })] as const
  try {
    return await work(services)
  } finally {
    // A connection that was cut before its first request is one that a server waits for.
    for (const { app } of services) app.server.closeAllConnections()
    for (const { stop } of services) await stop()
    await testDatabase.drop()
  }
}
