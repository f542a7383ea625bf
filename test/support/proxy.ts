import { connect, createServer, type Socket } from 'node:net'
import type pg from 'pg'

export type Proxy = {
  /** TCP port on 127.0.0.1. */
  readonly port: number
  /** Passes everything on, from now on. */
  forward(): void
  /** Breaks every connection and resets new ones. */
  refuse(): void
  /**
   * Waits for the next message to the database that matches, and from then on keeps back what its connection sends
   * (`request`, this message included) or what it is answered (`answer`).
   *
   * @returns once the message, or the first answer to it, is kept back
   */
  keepBack(what: 'request' | 'answer', text: RegExp): Promise<void>
  close(): Promise<void>
}

type Trap = { readonly what: 'request' | 'answer'; readonly text: RegExp; readonly onKept: () => void }

/** A TCP proxy in front of the database, whose network the test cuts and restores. */
export async function openProxy({ host = '127.0.0.1', port = 5432 }: pg.ClientConfig): Promise<Proxy> {
  const sockets = new Set<Socket>()
  let forwarding = true
  let trap: Trap | undefined
  const traps = new WeakMap<Socket, Trap>()
  const server = createServer((client) => {
    if (!forwarding) return client.resetAndDestroy()
    const upstream = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => {
        if (from === client && trap !== undefined && trap.text.test(chunk.toString('latin1'))) {
          traps.set(client, trap)
          trap = undefined
        }
        const sprung = traps.get(client)
        if (sprung === undefined || (sprung.what === 'request') !== (from === client)) to.write(chunk)
        else sprung.onKept()
      })
      from.on('end', () => to.end())
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
    return client
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The proxy has no port')
  const cut = () => {
    // A Unix socket has no reset.
    for (const socket of sockets) socket.remoteAddress ? socket.resetAndDestroy() : socket.destroy()
  }
  return {
    port: address.port,
    forward() {
      forwarding = true
    },
    refuse() {
      forwarding = false
      cut()
    },
    keepBack(what, text) {
      return new Promise((onKept, reject) => {
        const late = () => reject(new Error(`Nothing with ${text} came`))
        const timer = setTimeout(late, 15_000)
        trap = {
          what,
          text,
          onKept() {
            clearTimeout(timer)
            onKept()
          },
        }
      })
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
