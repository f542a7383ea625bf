import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { Spool } from '../../src/tasks/spool.ts'
import { temporaryFiles } from '../api/transfers.ts'
import { eventually } from '../support/process.ts'

test('what is written is read again, as often as wanted, and is gone when it is cleared', async () => {
  const spool = await Spool.open()
  const text = `${'é'.repeat(100_000)}\n`
  await spool.write(text)
  await spool.write('end')
  assert.equal(spool.bytes, Buffer.byteLength(text) + 3)
  for (let n = 0; n < 2; n++) {
    assert.equal(Buffer.concat(await Readable.from(spool.read()).toArray()).toString(), `${text}end`)
  }
  await spool.clear()
  assert.deepEqual([spool.bytes, await Readable.from(spool.read()).toArray()], [0, []])
  await spool.write('new')
  assert.equal(Buffer.concat(await Readable.from(spool.read()).toArray()).toString(), 'new')
  await spool.close()
})

test('its file is for its user alone, has no name, and goes with it', {
  skip: process.platform !== 'linux',
}, async () => {
  // A file that a test before has read to its end closes by itself, a moment later.
  await eventually(async () => temporaryFiles().length === 0)
  const spool = await Spool.open()
  const [own, ...others] = temporaryFiles()
  assert.ok(own?.endsWith(' (deleted)') && others.length === 0, 'it is open, and not in the folder')
  await spool.close()
  await eventually(async () => temporaryFiles().length === 0)
})

test('where there is no room left the service is overloaded', {
  skip: !existsSync('/dev/full'),
}, async () => {
  const spool = new Spool(await open('/dev/full', 'r+'))
  const overloaded = { code: 'OVERLOADED', headers: { 'retry-after': '10' } }
  await assert.rejects(spool.write('x'), overloaded)
  await spool.close()
})
