// The other end of `startWorker` in processes.ts.

/** Does jobs as they come over the channel, and ends with it: a benchmark that is killed leaves nothing running. */
export function serveJobs<Job, Result>(work: (job: Job) => Promise<Result>): void {
  // Ctrl-C reaches the whole group; the process that started this one says when it ends.
  process.on('SIGINT', () => {})
  process.on('disconnect', () => process.exit())
  process.on('message', async (job: Job) => {
    try {
      process.send?.({ result: await work(job) })
    } catch (error) {
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  })
  process.send?.({ result: 'ready' })
}
