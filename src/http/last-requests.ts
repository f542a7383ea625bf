import { once } from 'node:events'
import { Server as TcpServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

/** How long a connection that is kept open has to bring a last request once nobody can connect, in milliseconds. */
const lingerMs = 500

/**
 * Has the server, when it closes, stop listening first, and leave its idle connections open for a little longer: a
 * request that is on its way there is answered, with `Connection: close`. Node would close them at once, and cut it
 * (RFC 9112 §9.5). Between the two the hooks run that are added after this one.
 */
export function stopListeningFirst(app: FastifyInstance): void {
  app.addHook('preClose', (done) => {
    // Of the class below http.Server, whose own method closes idle connections too.
    TcpServer.prototype.close.call(app.server)
    done()
  })
}

/**
 * Waits until all connections have ended, or for as long as idle ones may still bring a request. For a hook after all
 * others.
 *
 * @param server that has stopped listening
 */
export async function awaitLastRequests({ server }: Pick<FastifyInstance, 'server'>): Promise<void> {
  const waiting = new AbortController()
  const { signal } = waiting
  const ended = once(server, 'close', { signal })
  // It tells at once when there are none.
  TcpServer.prototype.close.call(server)
  await Promise.race([ended, delay(lingerMs, undefined, { signal })])
  waiting.abort()
}
