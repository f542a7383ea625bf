import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chown, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { isAlive, isRunning } from '../../src/db/embedded/postmaster.ts'
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts'
import { end, makeRoot, Place, query, refused, report, until, untilGone } from '../support/embedded-place.ts'

const needsProc = { skip: process.platform === 'linux' ? false : 'reads /proc' }

describe('embedded PostgreSQL', { concurrency: 2, timeout: 120_000 }, () => {
  test('a server that runs and does not answer is reported in a bounded time', async (t) => {
    const place = await Place.make(t)
    await report(place.spawn())
    const pid = await place.pid()
    process.kill(pid, 'SIGSTOP')
    t.after(() => isAlive(pid) && process.kill(pid, 'SIGCONT'))
    const from = performance.now()
    await refused(place.start(), `pid ${pid}`, 'does not answer', place.cluster)
    assert.ok(performance.now() - from < 20_000)
  })

  describe('the server of one data folder', { concurrency: 1 }, () => {
    let root: string
    let dataDir: string

    before(async () => {
      root = await makeRoot()
      dataDir = join(root, 'data')
      const server = await startEmbeddedPostgres({ dataDir, durable: false })
      await server.stop()
    })
    after(() => rm(root, { recursive: true, force: true }))

    test('the server is durable unless told otherwise, has no TCP port, and takes settings', async (t) => {
      const place = Place.open(t, dataDir)
      const names = ['fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'max_connections']
      const shown = `select ${names.map((name) => `current_setting('${name}') as ${name}`).join(', ')}`
      const durable = await place.start({ durable: true, settings: { max_connections: '17' } })
      const on = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' }
      assert.deepEqual(await query(durable, shown), [{ ...on, listen_addresses: '', max_connections: '17' }])
      await durable.stop()
      const fast = await place.start({ durable: false })
      const off = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
      assert.deepEqual(await query(fast, shown), [{ ...off, listen_addresses: '', max_connections: '100' }])
    })

    test('the socket is in a folder that only the server and its user can enter', async (t) => {
      const place = Place.open(t, dataDir)
      const { connection } = await place.start()
      assert.equal(connection.host, place.cluster)
      assert.equal((await stat(connection.host)).mode & 0o777, 0o700)
    })

    test('the environment of the service does not reach the server', needsProc, async (t) => {
      const place = Place.open(t, dataDir)
      process.env.EMBEDDED_TEST_SECRET = 'do-not-pass-on'
      t.after(() => delete process.env.EMBEDDED_TEST_SECRET)
      await place.start()
      const environment = await readFile(`/proc/${await place.pid()}/environ`, 'utf8')
      assert.ok(environment.includes('PATH='))
      assert.ok(!environment.includes('do-not-pass-on'))
    })

    test('stop leaves no process and no socket, and may be called again and at the same time', async (t) => {
      const place = Place.open(t, dataDir)
      const server = await place.start()
      const [row] = await query(server, 'select array_agg(pid) as pids from pg_stat_activity')
      assert.ok(typeof row === 'object' && row !== null && 'pids' in row && Array.isArray(row.pids))
      const pids = [await place.pid(), ...row.pids.map(Number)] as const
      await Promise.all([server.stop(), server.stop()])
      await server.stop()
      assert.equal(await isRunning(pids[0]), false)
      for (const pid of pids) await untilGone(pid)
      const names = await readdir(place.cluster)
      assert.ok(!names.some((name) => name.startsWith('.s.PGSQL') || name === 'postmaster.pid'))
      assert.equal(place.count('stopped'), 1)
    })

    test('a server whose folder was renamed is stopped all the same', async (t) => {
      const place = Place.open(t, dataDir)
      const server = await place.start()
      const pid = await place.pid()
      await rename(place.cluster, `${place.cluster}-aside`)
      t.after(() => rename(`${place.cluster}-aside`, place.cluster))
      await server.stop()
      await untilGone(pid)
    })

    test('a second exclusive start is refused with the folder, the process and what to do', async (t) => {
      const place = Place.open(t, dataDir)
      const owner = place.spawn()
      const { connection } = await report(owner)
      assert.ok(connection)
      await refused(place.start(), place.cluster, `process ${owner.pid}`, 'DATA_DIR', 'DATABASE_URL')
      assert.equal(isAlive(await place.pid()), true)
      await end(owner, 'SIGTERM')
      const next = await place.start()
      assert.equal(next.owned, true)
    })

    test('a joined server goes on when the tool that joined it stops', async (t) => {
      const place = Place.open(t, dataDir)
      const owner = await place.start()
      const pid = await place.pid()
      const tool = place.spawn({ join: true })
      assert.deepEqual(await report(tool), { connection: owner.connection, owned: false })
      await end(tool, 'SIGTERM')
      assert.equal(tool.exitCode, 0)
      assert.deepEqual(await query(owner, 'select 1 as one'), [{ one: 1 }])
      assert.equal(await place.pid(), pid)
    })

    test('a tool that may join and finds no server starts one and stops it', async (t) => {
      const place = Place.open(t, dataDir)
      const tool = await place.start({ mode: 'join' })
      const pid = await place.pid()
      assert.equal(tool.owned, true)
      await tool.stop()
      await untilGone(pid)
    })

    test('Ctrl-C in the terminal ends the service and not the server', async (t) => {
      const place = Place.open(t, dataDir)
      const owner = place.spawn()
      await report(owner)
      assert.ok(owner.pid)
      process.kill(-owner.pid, 'SIGINT')
      await until('the service ends', () => owner.signalCode === 'SIGINT')
      assert.deepEqual(await query(await place.start(), 'select 1 as one'), [{ one: 1 }])
      assert.deepEqual(place.types, ['reused'])
    })

    test('the server of a killed owner is taken over as it runs', async (t) => {
      const place = Place.open(t, dataDir)
      const owner = place.spawn()
      await report(owner)
      const pid = await place.pid()
      await end(owner, 'SIGKILL')
      const next = await place.start()
      assert.equal(next.owned, true)
      assert.equal(await place.pid(), pid)
      assert.deepEqual(place.types, ['reused'])
      await next.stop()
      await untilGone(pid)
    })

    test('a start waits for a server that has not yet noticed the death of its owner', async (t) => {
      const place = Place.open(t, dataDir)
      const owner = place.spawn()
      await report(owner)
      const beside = await place.start({ mode: 'join' })
      const sessionOf = async (pid: number | undefined) => {
        const sql = `select pid from pg_stat_activity where application_name = 'backend-core pid ${pid}'`
        const [row] = await query(beside, sql)
        return typeof row === 'object' && row !== null && 'pid' in row ? Number(row.pid) : undefined
      }
      const holder = await sessionOf(owner.pid)
      assert.ok(holder)
      process.kill(holder, 'SIGSTOP')
      await end(owner, 'SIGKILL')
      const next = place.start()
      await until('the start asks', async () => (await sessionOf(process.pid)) !== undefined)
      process.kill(holder, 'SIGCONT')
      assert.equal((await next).owned, true)
      assert.deepEqual(place.types, ['joined', 'reused'])
    })

    test('a start waits for the processes that a killed server has left', async (t) => {
      const place = Place.open(t, dataDir)
      const owner = place.spawn()
      await report(owner)
      const { connection } = await place.start({ mode: 'join' })
      const client = new pg.Client(connection)
      client.on('error', () => undefined)
      await client.connect()
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
      const left = Number(rows[0]?.pid)
      const server = await place.pid()
      process.kill(left, 'SIGSTOP')
      await end(owner, 'SIGKILL')
      process.kill(server, 'SIGKILL')
      await untilGone(server)
      const next = place.start()
      const refusal = 'pre-existing shared memory block'
      const log = join(place.dataDir, 'postgres.log')
      await until('the new server refuses', async () => (await readFile(log, 'utf8')).includes(refusal))
      process.kill(left, 'SIGCONT')
      assert.deepEqual(await query(await next, 'select 1 as one'), [{ one: 1 }])
    })

    test('the server of a killed owner is started anew when other settings are asked for', async (t) => {
      const place = Place.open(t, dataDir)
      const owner = place.spawn()
      await report(owner)
      await end(owner, 'SIGKILL')
      const next = await place.start({ durable: true })
      assert.deepEqual(await query(next, 'show fsync'), [{ fsync: 'on' }])
      assert.deepEqual(place.types, ['settings-changed', 'started'])
    })

    test('a pid file that names a living stranger after a power loss does not prevent the start', async (t) => {
      const place = Place.open(t, dataDir)
      const server = await place.start()
      const pidFile = join(place.cluster, 'postmaster.pid')
      const content = await readFile(pidFile, 'utf8')
      const { uid, gid } = await stat(place.cluster)
      await server.stop()
      // Of the server's own user: PostgreSQL itself sees through the pid of any other.
      const stranger = spawn('sleep', ['600'], { uid, gid })
      t.after(() => end(stranger, 'SIGKILL'))
      await writeFile(pidFile, content.replace(/^\d+/, String(stranger.pid)), { mode: 0o600 })
      await chown(pidFile, uid, gid)
      const next = await place.start()
      assert.deepEqual(await query(next, 'select 1 as one'), [{ one: 1 }])
      assert.ok(
        place.events.some((event) => event.type === 'stale-pid-corrected' && event.pid === stranger.pid),
      )
      assert.equal(stranger.exitCode, null)
    })

    test('data of another major version is refused with both versions', async (t) => {
      const place = Place.open(t, dataDir)
      const versionFile = join(place.cluster, 'PG_VERSION')
      const version = await readFile(versionFile, 'utf8')
      t.after(() => writeFile(versionFile, version))
      await writeFile(versionFile, '15\n')
      await refused(
        place.start(),
        /is of PostgreSQL 15, and the embedded one is \d+/,
        'pg_dump',
        place.cluster,
      )
    })

    test('a setting that the server refuses is reported with the last lines of its log', async (t) => {
      const place = Place.open(t, dataDir)
      await refused(place.start({ settings: { no_such_setting: '1' } }), 'no_such_setting', 'postgres.log')
    })

    test('a large log is set aside at the next start', async (t) => {
      const place = Place.open(t, dataDir)
      await (await place.start()).stop()
      const logFile = join(place.dataDir, 'postgres.log')
      const log = await open(logFile, 'r+')
      await log.truncate(11 * 1024 * 1024)
      await log.close()
      await place.start()
      assert.ok((await stat(`${logFile}.1`)).size > 10 * 1024 * 1024)
      assert.ok((await stat(logFile)).size < 100_000)
    })

    test('refused statements do not fill the log with what users wrote', async (t) => {
      const place = Place.open(t, dataDir)
      const server = await place.start()
      await query(server, 'create table once (text text unique)')
      const insert = "insert into once values ('a secret of a user')"
      await query(server, insert)
      await assert.rejects(query(server, insert), { code: '23505' })
      assert.ok(!(await readFile(join(place.dataDir, 'postgres.log'), 'utf8')).includes('a secret'))
    })
  })
})
