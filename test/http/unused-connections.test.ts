import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { startApp } from '../support/app.ts'
import { eventually } from '../support/process.ts'

test('a connection on which nothing was asked does not hold up a stop', async () => {
  const service = await startApp()
  const { hostname, port } = new URL(service.url)
  const socket = connect({ host: hostname, port: Number(port) })
  let isClosed = false
  socket.on('close', () => {
    isClosed = true
  })
  await eventually(async () => {
    const { promise, resolve } = Promise.withResolvers<number>()
    service.app.server.getConnections((_, count) => resolve(count))
    return (await promise) === 1
  })
  const start = performance.now()
  await service.stop()
  await eventually(async () => isClosed)
  // Without a bound of its own it would take as long as an idle connection may: 72 s.
  assert.ok(performance.now() - start < 30_000)
})
