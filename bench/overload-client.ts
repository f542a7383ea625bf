import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Most connections; what needs more waits in the client. */
const maxSockets = 4_000

/** Connections that carry one request at a time, and only as much of HTTP as the answers of the service need. */
export class OverloadClient {
  readonly #port: number
  readonly #idle: Socket[] = []
  readonly #waiting: (() => void)[] = []
  #open = 0

  constructor(port: number) {
    this.#port = port
  }

  /** @returns the status, 0 when the connection broke or no answer came in 10 s */
  async request(bytes: Buffer): Promise<number> {
    const socket = await this.#take()
    const { promise, resolve } = Promise.withResolvers<number>()
    let [head, missing, status] = ['', -1, 0]
    const timer = setTimeout(() => socket.destroy(), 10_000)
    const onData = (chunk: Buffer) => {
      if (missing >= 0) missing -= chunk.length
      else {
        head += chunk.toString('latin1', 0, 1_000)
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        status = Number(head.slice(9, 12))
        const field = head.indexOf('content-length: ') + 16
        missing = Number.parseInt(head.slice(field, field + 10), 10) + end + 4 - chunk.length
      }
      if (missing <= 0) resolve(status)
    }
    const onClose = () => resolve(0)
    socket.on('data', onData).once('close', onClose)
    socket.write(bytes)
    const answered = await promise
    clearTimeout(timer)
    socket.off('data', onData).off('close', onClose)
    this.#give(socket)
    return answered
  }

  /** Opens connections, to have them at hand. */
  async open(count: number): Promise<void> {
    const sockets = Array.from({ length: count }, () => this.#dial())
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    // A connection is there for its client before the service has taken it.
    for (const socket of sockets) this.#give(socket)
    await this.#eachAnswers(count)
  }

  /** Asks once over each connection. */
  async #eachAnswers(count: number): Promise<void> {
    const health = Buffer.from('GET /health HTTP/1.1\r\nHost: bench\r\n\r\n')
    await Promise.all(Array.from({ length: count }, () => this.request(health)))
  }

  async #take(): Promise<Socket> {
    for (;;) {
      const idle = this.#idle.pop()
      if (idle !== undefined && !idle.destroyed) return idle
      if (idle !== undefined) continue
      if (this.#open < maxSockets) return this.#dial()
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  #dial(): Socket {
    this.#open++
    const socket = connect(this.#port, '127.0.0.1').setNoDelay(true)
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#open--
      this.#waiting.shift()?.()
    })
    return socket
  }

  #give(socket: Socket): void {
    if (!socket.destroyed) this.#idle.push(socket)
    this.#waiting.shift()?.()
  }

  close(): void {
    for (const socket of this.#idle) socket.destroy()
  }
}
