import { connect, type Socket } from 'node:net'
import { after } from 'node:test'
import { eventually } from './process.ts'
import { requestBytes } from './raw-http.ts'

/** A client that says and reads what it wants, when it wants. */
export type RawClient = {
  readonly socket: Socket
  /** All that has come so far. */
  received(): string
  isClosed(): boolean
}

/** Connects to the service; cut when the file ends. With `reads: false` it takes nothing of what is sent to it. */
export async function openSocket(url: string, { reads = true } = {}): Promise<RawClient> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: false })
  let received = ''
  let isClosed = false
  if (reads) socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  else socket.pause()
  socket.on('error', () => {})
  socket.on('close', () => {
    isClosed = true
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.once('connect', resolve).once('close', () => resolve())
  await promise
  after(() => socket.destroy())
  return { socket, received: () => received, isClosed: () => isClosed }
}

/** Opens many at a time, without asking too much of the system at once. */
export async function openSockets(url: string, count: number): Promise<RawClient[]> {
  const clients: RawClient[] = []
  while (clients.length < count) {
    const batch = Math.min(100, count - clients.length)
    clients.push(...(await Promise.all(Array.from({ length: batch }, () => openSocket(url)))))
  }
  return clients
}

/** Opens the stream of a user's changes, and waits until it has begun. */
export async function openStreamSocket(url: string, token: string): Promise<RawClient> {
  const stream = await openSocket(url)
  stream.socket.write(
    requestBytes(['GET /api/me/changes/stream HTTP/1.1', 'Host: test', `Authorization: Bearer ${token}`]),
  )
  await eventually(async () => stream.received().includes('event: ready'))
  return stream
}
