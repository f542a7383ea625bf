import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { serverAccount } from '../../src/db/embedded/account.ts'
import { findBinaryPackage, usableBinaries } from '../../src/db/embedded/binaries.ts'
import { createCluster } from '../../src/db/embedded/cluster.ts'
import { removeLeftovers, temporaryName } from '../../src/db/embedded/folders.ts'
import { ensureSocketDir } from '../../src/db/embedded/socket-dir.ts'
import { end, ownerScript, Place, query, refused, report, until } from '../support/embedded-place.ts'

const isRoot = process.getuid?.() === 0

describe('the first start of an embedded PostgreSQL', { concurrency: 2, timeout: 120_000 }, () => {
  test('the first start makes a database, the second one finds its rows', async (t) => {
    const place = await Place.make(t)
    const first = await place.start({ durable: true })
    assert.equal(first.owned, true)
    assert.equal(first.connection.database, 'backend_core')
    // As root the server runs as another user.
    const { uid } = await stat(place.cluster)
    assert.equal(uid, isRoot ? (await serverAccount(undefined))?.uid : process.getuid?.())
    assert.notEqual(uid, 0)
    await query(first, "create table kept as select 'É' as letter")
    await first.stop()
    const second = await place.start({ durable: true })
    assert.deepEqual(await query(second, 'select lower(letter) as letter from kept'), [{ letter: 'é' }])
    assert.deepEqual(second.connection, first.connection)
    assert.deepEqual(place.types, ['initialised', 'started', 'stopped', 'started'])
  })

  test('of two simultaneous first starts one gets the folder and the other is told', async (t) => {
    const place = await Place.make(t)
    const starts = await Promise.allSettled([place.start(), place.start()])
    const [winner] = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
    const [loser] = starts.flatMap((start) => (start.status === 'rejected' ? [start.reason] : []))
    assert.ok(winner)
    assert.match(String(loser), /in use by process/)
    assert.deepEqual(await query(winner, 'select 1 as one'), [{ one: 1 }])
    assert.deepEqual((await readdir(place.dataDir)).sort(), ['postgres', 'postgres.log'])
  })

  test('of two simultaneous first starts that may join, one owns and both can query', async (t) => {
    const place = await Place.make(t)
    const both = await Promise.all([place.start({ mode: 'join' }), place.start({ mode: 'join' })])
    assert.deepEqual(both.map(({ owned }) => owned).sort(), [false, true])
    for (const server of both) assert.deepEqual(await query(server, 'select 1 as one'), [{ one: 1 }])
  })

  test('a first start that is killed leaves nothing that the next one takes for a database', async (t) => {
    const place = await Place.make(t)
    const first = place.spawn()
    const unfinished = async () =>
      (await readdir(place.dataDir).catch(() => [])).filter((name) => name.includes('.new-'))
    await until('initdb is at work', async () => {
      const [name] = await unfinished()
      return name !== undefined && (await readdir(join(place.dataDir, name))).includes('PG_VERSION')
    })
    await end(first, 'SIGKILL')
    const next = await place.start()
    assert.deepEqual(await query(next, 'select 1 as one'), [{ one: 1 }])
    assert.deepEqual(await unfinished(), [])
    assert.deepEqual(place.types, ['leftover-removed', 'initialised', 'started'])
  })

  test('of unfinished folders those of ended and former processes are removed, not those in work', async (t) => {
    const place = await Place.make(t)
    const inWork = temporaryName(place.cluster)
    t.after(() => inWork.release())
    const ended = spawn('true')
    await once(ended, 'exit')
    const kept = [
      basename(inWork.path),
      `postgres.new-${process.ppid}-0123abcd`,
      'postgres',
      'postgres.new-a-copy',
    ]
    const left = [`postgres.new-${ended.pid}-0123abcd`, `postgres.new-${process.pid}-0123abcd`]
    for (const name of [...kept, ...left]) await mkdir(join(place.dataDir, name), { recursive: true })
    await removeLeftovers(place.dataDir, () => undefined)
    assert.deepEqual((await readdir(place.dataDir)).sort(), kept.sort())
  })

  test('a folder with something else in it is refused and left as it is', async (t) => {
    const place = await Place.make(t)
    await mkdir(place.cluster, { recursive: true })
    await writeFile(join(place.cluster, 'letter.txt'), 'dear')
    await refused(place.start(), 'not a data folder', place.cluster)
    assert.deepEqual(await readdir(place.cluster), ['letter.txt'])
  })

  test('a failed initdb is reported with what it said, and leaves nothing', async (t) => {
    const place = await Place.make(t)
    await mkdir(place.dataDir)
    const binaries = { initdb: '/bin/ls', postgres: '/bin/ls', major: '18' }
    const request = {
      link: place.cluster,
      binaries,
      account: undefined,
      durable: false,
      systemDir: '',
      emit: () => undefined,
    }
    await refused(createCluster(request), 'initdb failed', 'encoding', 'DATABASE_URL')
    assert.deepEqual(await readdir(place.dataDir), [])
  })

  test('a socket folder that others can enter is not used', async (t) => {
    const place = await Place.make(t)
    await mkdir(place.dataDir, { mode: 0o755 })
    await refused(ensureSocketDir(place.dataDir, place.cluster, undefined), place.dataDir, 'open to others')
    await chmod(place.dataDir, 0o700)
    await ensureSocketDir(place.dataDir, place.cluster, undefined)
  })

  test('an empty folder is filled', async (t) => {
    const place = await Place.make(t)
    await mkdir(place.cluster, { recursive: true })
    await chmod(place.dataDir, 0o711)
    assert.deepEqual(await query(await place.start(), 'select 1 as one'), [{ one: 1 }])
  })

  test('a path below a file is refused with the cause', async (t) => {
    const place = await Place.make(t, 'file/data')
    await writeFile(dirname(place.dataDir), '')
    const error = await refused(place.start(), place.dataDir, 'DATABASE_URL')
    assert.ok(error.cause instanceof Error)
  })

  test('a path too long for a socket works, for a tool that joins too', async (t) => {
    const place = await Place.make(t, 'a-long-name-'.repeat(10))
    const server = await place.start()
    assert.ok(place.cluster.length > 107)
    assert.equal((await stat(server.connection.host)).mode & 0o777, 0o700)
    const tool = await place.start({ mode: 'join' })
    assert.deepEqual(tool.connection, server.connection)
    assert.deepEqual(await query(tool, 'select 1 as one'), [{ one: 1 }])
    process.kill(await place.pid(), 'SIGKILL')
    await until('it runs again', () => place.types.includes('restarted'))
    assert.deepEqual(await query(server, 'select 1 as one'), [{ one: 1 }])
    await server.stop()
    await assert.rejects(stat(server.connection.host), { code: 'ENOENT' })
  })

  test('a path with quotes, spaces and shell signs is only a path', async (t) => {
    const place = await Place.make(t, 'it\'s "a" $(touch x) `b`, \\folder é')
    assert.deepEqual(await query(await place.start(), 'select 1 as one'), [{ one: 1 }])
    assert.deepEqual(await query(await place.start({ mode: 'join' }), 'select 1 as one'), [{ one: 1 }])
  })
})

/** The ordinary user of tests that root runs. */
const ordinary = { uid: 65534, gid: 65534 }

describe('the first start under root', {
  concurrency: 2,
  timeout: 120_000,
  skip: isRoot ? false : 'only root runs PostgreSQL as another user',
}, () => {
  test('data in a folder that the server user cannot enter goes elsewhere, and a link leads to it; a dead link is refused', async (t) => {
    const place = await Place.make(t)
    await chmod(dirname(place.dataDir), 0o700)
    const first = await place.start()
    const target = await readlink(place.cluster)
    assert.match(target, /^\/var\/lib\/backend-core\/postgres-[0-9a-f]+$/)
    assert.ok(place.events.some((event) => event.type === 'moved' && event.directory === target))
    assert.equal((await stat(target)).mode & 0o777, 0o700)
    await query(first, 'create table kept as select 1 as one')
    await first.stop()
    const second = await place.start()
    assert.deepEqual(await query(second, 'select one from kept'), [{ one: 1 }])
    assert.equal(await readlink(place.cluster), target)
    await second.stop()
    await rm(target, { recursive: true })
    await refused(place.start(), place.cluster, 'does not exist')
  })

  test('of two simultaneous first starts whose data goes elsewhere one is kept', async (t) => {
    const place = await Place.make(t)
    await mkdir(place.dataDir, { mode: 0o700 })
    const systemDir = join(dirname(place.dataDir), 'system')
    const account = await serverAccount(undefined)
    const binaries = await usableBinaries(await findBinaryPackage(), account, systemDir, () => undefined)
    const request = {
      link: place.cluster,
      binaries,
      account,
      durable: false,
      systemDir,
      emit: () => undefined,
    }
    const [first, second] = await Promise.all([createCluster(request), createCluster(request)])
    assert.equal(first, second)
    assert.equal(first, await readlink(place.cluster))
    assert.deepEqual(
      (await readdir(systemDir)).filter((name) => !name.startsWith('postgresql-')),
      [basename(first)],
    )
  })

  test('data of root, or where the server user cannot enter, is refused', async (t) => {
    const place = await Place.make(t)
    await mkdir(place.cluster, { recursive: true, mode: 0o711 })
    await writeFile(join(place.cluster, 'PG_VERSION'), '18\n')
    await refused(place.start(), 'belongs to root', `chown -R postgres ${place.cluster}`)
    await chown(place.cluster, ordinary.uid, ordinary.gid)
    await chmod(place.dataDir, 0o700)
    await refused(place.start(), 'cannot enter', place.cluster)
  })

  test('an ordinary user has the same, and root goes on with its data as that user', async (t) => {
    const place = await Place.make(t)
    await mkdir(place.dataDir, { mode: 0o711 })
    await chown(place.dataDir, ordinary.uid, ordinary.gid)
    const probe = ['-e', 'fs.accessSync(process.argv[1])', ownerScript]
    const canReach = spawn(process.execPath, probe, { ...ordinary, stdio: 'ignore' })
    const [exitCode] = await once(canReach, 'exit').catch(() => [1])
    if (exitCode !== 0) return t.skip('an ordinary user cannot reach this checkout')
    await mkdir(place.cluster, { mode: 0o755 })
    await writeFile(join(place.cluster, 'PG_VERSION'), '18\n')
    assert.match(
      String((await report(place.spawn(ordinary))).error),
      /belongs to user 0, and .* as user 65534/,
    )
    await rm(place.cluster, { recursive: true })
    const owner = place.spawn(ordinary)
    assert.equal((await report(owner)).owned, true)
    assert.equal((await stat(place.cluster)).uid, ordinary.uid)
    await end(owner, 'SIGTERM')
    assert.equal(owner.exitCode, 0)
    await rm(join(place.dataDir, 'postgres.log'))
    const server = await place.start()
    assert.deepEqual(await query(server, 'select 1 as one'), [{ one: 1 }])
    await server.stop()
    const again = place.spawn(ordinary)
    assert.equal((await report(again)).owned, true)
    await end(again, 'SIGTERM')
  })
})
