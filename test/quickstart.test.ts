import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { Place } from './support/embedded-place.ts'
import { type Block, type Page, readPage, steady } from './support/markdown.ts'
import { Terminal } from './support/terminal.ts'

const hasCurl = spawnSync('curl', ['--version']).status === 0

/** Each block of commands with the block of its answer, if the page shows one. */
function steps({ blocks }: Page): { command: Block; answer: Block | undefined }[] {
  return blocks.flatMap((command, index) => {
    const next = blocks[index + 1]
    return command.language === 'sh' ? [{ command, answer: next?.language === 'sh' ? undefined : next }] : []
  })
}

/** Checks what a block of commands wrote against what the page says. */
function compare({ stdout, stderr }: { stdout: string; stderr: string }, answer: Block): void {
  if (answer.language === 'json') {
    const [actual, expected] = [stdout, answer.text].map((text) => JSON.parse(steady(text)))
    assert.deepEqual(actual, expected)
    return
  }
  const printed = steady(`${stderr}\n${stdout}`).split('\n')
  for (const line of steady(answer.text).trimEnd().split('\n')) assert.ok(printed.includes(line), line)
}

for (const path of ['docs/quickstart.md', 'README.md']) {
  test(`${path}: every command works, in order, and answers as the page says`, {
    skip: !hasCurl && 'curl is not installed',
  }, async (t) => {
    const page = readPage(path)
    const all = steps(page)
    const install = all.findIndex(({ command }) => command.text.startsWith('npm ci'))
    const start = all.findIndex(({ command }) => /\bnpm start$/m.test(command.text))
    assert.ok(install !== -1 && install <= start, 'the page installs, then starts')
    const place = await Place.make(t)
    const terminal = await Terminal.open(dirname(place.dataDir), { DATA_DIR: place.dataDir })
    // This very suite runs on what `npm ci` installed.
    const service = await terminal.start('npm start')
    try {
      for (const { command, answer } of all.slice(start + 1)) {
        const output = await terminal.run(command.text)
        assert.equal(output.code, 0, `${command.text}${output.stderr}`)
        if (answer !== undefined) compare(output, answer)
      }
    } finally {
      const { stdout } = await service.stop()
      assert.match(stdout, /"msg":"stopped"/, 'Ctrl-C ends the service well')
    }
  })
}
