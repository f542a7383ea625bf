import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eventually } from './support/process.ts'

// What comes out of standard output, through a pipe as a container's log has it.

type Line = {
  readonly name?: string
  readonly line?: number
  readonly dropped?: number
  readonly msg: string
}

const writer = fileURLToPath(new URL('support/log-writer.ts', import.meta.url))
const guard = fileURLToPath(new URL('../preload.cjs', import.meta.url))

/** Runs a shell command in which `log NAME LINES` logs; what comes is read once `read` is called. */
function shell(command: string) {
  const log = `log() { "${process.execPath}" -r "${guard}" "${writer}" "$@"; }`
  const child: ChildProcess = spawn('sh', ['-c', `${log}; ${command}`], { stdio: ['pipe', 'pipe', 'pipe'] })
  after(() => child.kill('SIGKILL'))
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk
  })
  return {
    /** Waits until so many have logged all. */
    written: (count: number) => eventually(async () => stderr.split('written').length - 1 === count),
    end: () => child.stdin?.end(),
    /** Gives each line as it comes, until all have ended. */
    async read(onLine: (line: Line) => void): Promise<void> {
      const { stdout } = child
      assert.ok(stdout)
      createInterface({ input: stdout }).on('line', (text) => onLine(JSON.parse(text)))
      await once(child, 'close')
      assert.equal(stderr.replaceAll('written\n', ''), '')
    },
  }
}

const numbersTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1)

test('lines of several processes come whole and in order through one pipe', async () => {
  const names = ['a', 'b', 'c']
  const count = 5_000
  const running = shell(
    `{ for name in ${names.join(' ')}; do log $name ${count} <&3 & done; wait; } 3<&0 | cat`,
  )
  const came = new Map(names.map((name) => [name, [] as (number | undefined)[]]))
  // Until then nobody reads: the pipe is full, and all of them wait to write.
  await running.written(names.length)
  let left = names.length * count
  await running.read(({ name = '', line }) => {
    came.get(name)?.push(line)
    left--
    if (left === 0) running.end()
  })
  for (const lines of came.values()) assert.deepEqual(lines, numbersTo(count))
})

test('a line alone comes soon', async () => {
  const running = shell('log a 1 | cat')
  const line = Promise.withResolvers<Line>()
  const ended = running.read(line.resolve)
  assert.equal((await line.promise).line, 1)
  running.end()
  await ended
})

test('of a log that is not read so much is kept; what is dropped is counted, and told once it is read again', async () => {
  const count = 120_000
  const running = shell(`log a ${count}`)
  await running.written(1)
  const lines: Line[] = []
  await running.read((line) => {
    lines.push(line)
    if (line.dropped !== undefined) running.end()
  })
  const told = lines.pop()
  assert.equal(told?.msg, 'lines of the log were dropped: their reader is too slow')
  assert.equal(lines.length + Number(told.dropped), count)
  const numbers = lines.map(({ line }) => Number(line))
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
  )
})
