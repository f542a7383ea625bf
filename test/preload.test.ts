import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from './support/process.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Where compiled code is kept by a program that preloads the file in this folder; `none` when it is not. */
function cacheFolderOf(folder: string, coverage?: string) {
  const script = `process.stdout.write(require('node:module').getCompileCacheDir() ?? 'none')`
  const { PATH = '' } = process.env
  return spawnSync(process.execPath, ['-r', join(folder, 'preload.cjs'), '-e', script], {
    // Node would pass on what measures the coverage of this test, but for a value of its own.
    env: { PATH, NODE_V8_COVERAGE: coverage },
    encoding: 'utf8',
  })
}

test('an older Node gets one line that says what to do', () => {
  const old = `Object.defineProperty(process.versions, 'node', { value: '20.20.2' }); require('./preload.cjs')`
  const { status, stderr } = spawnSync(process.execPath, ['-e', old], { cwd: root, encoding: 'utf8' })
  assert.equal(status, 1)
  assert.match(stderr, /^backend-core needs Node 24 or later, and this is v[^\n]+ Run "npm ci"[^\n]+\n$/)
})

test('compiled code is kept beside the code, and not where coverage is measured', () => {
  const { status, stdout } = cacheFolderOf(root)
  assert.equal(status, 0)
  assert.ok(stdout.startsWith(join(root, 'node_modules', '.cache', 'backend-core')))
  assert.equal(cacheFolderOf(root, temporaryFolder()).stdout, 'none')
})

test('where nothing can be written beside the code, all goes on without', () => {
  const folder = temporaryFolder()
  copyFileSync(join(root, 'preload.cjs'), join(folder, 'preload.cjs'))
  // No folder can be made below a file, not even by root.
  writeFileSync(join(folder, 'node_modules'), '')
  const { status, stdout, stderr } = cacheFolderOf(folder)
  assert.deepEqual([status, stdout, stderr], [0, 'none', ''])
})
