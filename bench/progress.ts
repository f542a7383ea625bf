/** Tells what is being done. */
export type Progress = { say(what: string): void; end(): void }

/** A line on standard error, rewritten in place, and nothing at all where that is not a terminal. */
export function showSteps(): Progress {
  if (!process.stderr.isTTY) return { say() {}, end() {} }
  const startedAt = performance.now()
  return {
    say(what) {
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0)
      process.stderr.write(`\r\x1b[K${seconds} s: ${what}`)
    },
    end: () => process.stderr.write('\r\x1b[K'),
  }
}
