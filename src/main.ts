import { readConfig, runCommand } from './cli/command.ts'
import { serveInOneProcess } from './serve/one-process.ts'

/** The one argument that there is: the service starts its own workers with it. */
const workerArgument = '--worker'

await runCommand(async ([argument]) => {
  if (argument === workerArgument) {
    const { serveAsWorker } = await import('./workers/worker.ts')
    return serveAsWorker()
  }
  const config = readConfig()
  if (config.workers === 1) return serveInOneProcess(config)
  const { serveByWorkers } = await import('./workers/primary.ts')
  return serveByWorkers(config, workerArgument)
})
