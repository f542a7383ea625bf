import { createLogger, standardOutput } from '../../src/ops/logging.ts'

// Logs so many lines, numbered, and ends when standard input does: log-writer.ts NAME LINES

const [name, lines] = process.argv.slice(2)
const output = standardOutput()
const logger = createLogger('info', output)
for (let line = 1; line <= Number(lines); line++) {
  logger.info({ name, line, filler: 'x'.repeat(line % 400) }, 'a line')
  // As in a service, where the writes of before go on meanwhile.
  if (line % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
}
process.stderr.write('written\n')
process.stdin.resume()
process.stdin.once('end', async () => {
  await output.end()
  process.exit()
})
