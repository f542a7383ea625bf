/** Shows how far a long piece of work is. */
export type Progress = {
  update(done: number): void
  end(): void
}

/**
 * A progress line on standard error, rewritten in place, and nothing at all where that is not a terminal.
 *
 * @param label what is being done
 * @param total how much there is to do
 */
export function showProgress(label: string, total: number): Progress {
  if (!process.stderr.isTTY) return { update() {}, end() {} }
  let shown = -1
  return {
    update(done) {
      const percent = Math.floor((100 * done) / total)
      if (percent === shown) return
      shown = percent
      process.stderr.write(
        `\r${label}: ${done.toLocaleString('en')} of ${total.toLocaleString('en')} (${percent}%)`,
      )
    },
    end() {
      process.stderr.write('\r\x1b[K')
    },
  }
}
