import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { LinkedList, type ListNode } from '../lib/linked-list.ts'
import { whileOpen } from './slow-clients.ts'

/** How long a connection without a request has to send one when the server closes, in milliseconds. */
const lastRequestMs = 1_000

/** Between two lines of the log about connections that are refused, in milliseconds. */
const reportMs = 10_000

/**
 * Closes connections on which nothing was asked when the server closes. Clients open such ones to have them at hand;
 * Node takes them for busy, and would wait for them for as long as for a request.
 */
export function closeUnusedConnections(app: FastifyInstance): void {
  const unused = new LinkedList<Socket>()
  const places = new WeakMap<Socket, ListNode<Socket>>()
  const forget = (socket: Socket): boolean => {
    const place = places.get(socket)
    places.delete(socket)
    return place !== undefined && unused.remove(place)
  }
  // One function for all: thousands of idle streams keep nothing of this.
  function forgetClosed(this: Socket): void {
    forget(this)
  }
  app.server.on('connection', (socket) => {
    places.set(socket.on('close', forgetClosed), unused.append(socket))
  })
  app.server.on('request', ({ socket }) => {
    if (forget(socket)) socket.off('close', forgetClosed)
  })
  app.addHook('preClose', (done) => {
    setTimeout(() => {
      for (const socket of unused) socket.destroy()
    }, lastRequestMs).unref()
    done()
  })
}

/**
 * Bounds the connections of the server. One beyond the bound is closed at once, and so are, to make room, those that
 * are kept between two requests.
 *
 * @param checkIntervalMs idle connections are closed so often at most, in milliseconds
 */
export function boundConnections(
  app: FastifyInstance,
  { maxConnections, checkIntervalMs }: { readonly maxConnections: number; readonly checkIntervalMs: number },
): void {
  let refused = 0
  let needsRoom = false
  let reportedAtMs = Number.NEGATIVE_INFINITY
  app.server.maxConnections = maxConnections
  // Else a worker that is full passes one on, and those that are all full do so without end. (The types lack it.)
  Object.assign(app.server, { dropMaxConnection: true })
  app.server.on('drop', () => {
    refused++
    needsRoom = true
  })
  whileOpen(app.server, checkIntervalMs, () => {
    if (needsRoom) app.server.closeIdleConnections()
    needsRoom = false
    const now = performance.now()
    if (refused === 0 || now - reportedAtMs < reportMs) return
    app.log.warn({ refused, max_connections: maxConnections }, 'connections refused: too many are open')
    reportedAtMs = now
    refused = 0
  })
}
