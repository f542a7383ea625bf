import { setTimeout as delay } from 'node:timers/promises'
import type { TestDatabase } from '../support/database.ts'
import { addressOf, type RunningService, startService } from '../support/process.ts'

/** A service that is killed without warning, and started again, until it is told to live on. */
export type MortalService = {
  /** Where it listens, as soon as it does. */
  readonly url: () => Promise<string>
  readonly kills: () => number
  /** Has no further kill, and waits until it runs. */
  liveOn(): Promise<void>
}

/**
 * Starts a service that is killed with SIGKILL after a random time, again and again.
 *
 * @param options.mostLifeMs longest time that it listens before it is killed
 */
export async function startMortalService(options: {
  testDatabase: TestDatabase
  secret: string
  mostLifeMs: number
}): Promise<MortalService> {
  const { testDatabase, secret, mostLifeMs } = options
  const environment = {
    DATABASE_URL: addressOf(testDatabase.connection),
    BETTER_AUTH_SECRET: secret,
    RATE_LIMIT_PER_MINUTE: '0',
    LOG_LEVEL: 'info',
  }
  let running: Promise<RunningService> = startService(environment)
  await running
  let kills = 0
  const stopping = new AbortController()
  const dying = (async () => {
    while (!stopping.signal.aborted) {
      await running
      await delay(Math.random() * mostLifeMs)
      const { end } = await running
      const killed = Promise.withResolvers<void>()
      running = killed.promise.then(() => startService(environment))
      await end('SIGKILL')
      kills++
      killed.resolve()
    }
  })()
  // Whoever waits for it hears of it.
  dying.catch(() => {})
  return {
    url: async () => (await running).url,
    kills: () => kills,
    async liveOn() {
      stopping.abort()
      await dying
      await running
    },
  }
}
