import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** How long a connection without a request has to send one when the server closes, in milliseconds. */
const lastRequestMs = 1_000

/**
 * Closes connections on which nothing was asked when the server closes. Clients open such ones to have them at hand;
 * Node takes them for busy, and would wait for them for as long as for a request.
 */
export function closeUnusedConnections(app: FastifyInstance): void {
  const unused = new Set<Socket>()
  // One function for all: thousands of idle streams keep nothing of this.
  function forget(this: Socket): void {
    unused.delete(this)
  }
  app.server.on('connection', (socket) => unused.add(socket.on('close', forget)))
  app.server.on('request', ({ socket }) => {
    if (unused.delete(socket)) socket.off('close', forget)
  })
  app.addHook('preClose', (done) => {
    setTimeout(() => {
      for (const socket of unused) socket.destroy()
    }, lastRequestMs).unref()
    done()
  })
}
