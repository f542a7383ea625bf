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
  /** Leads new connections to another server; those that are open stay where they are. */
  lead(to: pg.ClientConfig): void
  /** Breaks every open connection. */
  reset(): void
  /** From now on nothing passes on the connections that are open, and nothing tells their ends. */
  silence(): void
  /**
   * Resets the connection of the next answer to a statement in the midst of that answer.
   *
   * @param after `commit`: what was asked is done and committed; `statement`: its transaction is still open
   * @returns once it is done
   */
  cutAnswer(after: 'commit' | 'statement'): Promise<void>
  close(): Promise<void>
}

type Trap = { readonly what: 'request' | 'answer'; readonly text: RegExp; readonly onKept: () => void }

/** The end of an answer, ReadyForQuery, with the state of the transaction: idle or within one. */
const answerEnds = {
  commit: Buffer.from('Z\0\0\0\u0005I'),
  statement: Buffer.from('Z\0\0\0\u0005T'),
} as const

/** A TCP proxy in front of the database, whose network the test cuts and restores. */
export async function openProxy(
  target: pg.ClientConfig,
  { host: ownHost = '127.0.0.1', port: ownPort = 0 } = {},
): Promise<Proxy> {
  let to = target
  const silent = new WeakSet<Socket>()
  const loggedIn = new WeakSet<Socket>()
  let cut: { readonly end: Buffer; readonly onCut: () => void } | undefined
  const sockets = new Set<Socket>()
  let forwarding = true
  let trap: Trap | undefined
  const traps = new WeakMap<Socket, Trap>()
  const server = createServer((client) => {
    if (!forwarding) return client.resetAndDestroy()
    const { host = '127.0.0.1', port = 5432 } = to
    const upstream = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => {
        if (silent.has(from)) return
        if (from === upstream && isCut(client, chunk)) return
        if (from === client && trap !== undefined && trap.text.test(chunk.toString('latin1'))) {
          traps.set(client, trap)
          trap = undefined
        }
        const sprung = traps.get(client)
        if (sprung === undefined || (sprung.what === 'request') !== (from === client)) to.write(chunk)
        else sprung.onKept()
      })
      from.on('end', () => silent.has(from) || to.end())
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        if (!silent.has(from)) to.destroy()
      })
    }
    return client
  })
  /** Passes on the half of an answer that is to be cut. The first answer is the one to the login. */
  function isCut(client: Socket, chunk: Buffer): boolean {
    if (!loggedIn.has(client)) {
      if (chunk.subarray(-6).equals(answerEnds.commit)) loggedIn.add(client)
      return false
    }
    if (!cut || !chunk.subarray(-6).equals(cut.end)) return false
    cut.onCut()
    cut = undefined
    client.write(chunk.subarray(0, chunk.length / 2), () => client.resetAndDestroy())
    return true
  }
  await new Promise<void>((resolve) => server.listen(ownPort, ownHost, resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The proxy has no port')
  const reset = () => {
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
      reset()
    },
    reset,
    lead(other) {
      to = other
    },
    silence() {
      for (const socket of sockets) silent.add(socket)
    },
    cutAnswer(after) {
      return new Promise((onCut) => {
        cut = { end: answerEnds[after], onCut }
      })
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
      reset()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
