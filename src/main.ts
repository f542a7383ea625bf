import { readConfig, runCommand } from './cli/command.ts'

/** The one argument that there is: the service starts its own workers with it. */
const workerArgument = '--worker'

// Each of the three loads what it needs alone.
await runCommand(async ([argument]) => {
  if (argument === workerArgument) {
    const { serveAsWorker } = await import('./workers/worker.ts')
    return serveAsWorker()
  }
  const config = readConfig()
  if (config.workers === 1) {
    const { serveInOneProcess } = await import('./serve/one-process.ts')
    return serveInOneProcess(config)
  }
  const { serveByWorkers } = await import('./workers/primary.ts')
  return serveByWorkers(config, workerArgument)
})
