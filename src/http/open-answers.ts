import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { LinkedList, type ListNode } from '../lib/linked-list.ts'
import { allowedMs, type Patience } from './slow-clients.ts'

export type SlowReaderBounds = {
  /** What a client has to take an answer; what it takes of a long one gives it more. */
  readonly patience: Patience
  /** Most bytes of answers that are kept because their clients have not taken them. */
  readonly maxUnreadBytes: number
}

/** Since when it is its client's turn, and what the connection had been given before; undefined while others come first. */
type Turn = { readonly sinceMs: number; readonly bytesBefore: number } | undefined

type OpenAnswer = { readonly response: ServerResponse; turn: Turn; sent: ListNode<OpenAnswer> | undefined }

/** Cutting these would free next to nothing, in bytes. */
const worthCuttingBytes = 65_536

/**
 * The answers under way: which of them a connection has, and which are not taken by their clients. An answer that nobody
 * reads would otherwise be kept for ever.
 */
export class OpenAnswers {
  readonly #bySocket = new WeakMap<Socket, LinkedList<OpenAnswer>>()
  /** Those that were handed over to be sent, longest ago first. Streams of events see to their readers themselves. */
  readonly #sent = new LinkedList<OpenAnswer>()

  /** A request has come. */
  add(response: ServerResponse): void {
    const { socket } = response.req
    const answers = this.#bySocket.get(socket) ?? new LinkedList()
    this.#bySocket.set(socket, answers)
    const answer: OpenAnswer = { response, turn: undefined, sent: undefined }
    const open = answers.append(answer)
    response.once('close', () => {
      answers.remove(open)
      if (answer.sent !== undefined) this.#sent.remove(answer.sent)
    })
  }

  /** The answers that a connection has under way, in their order, those that have not begun included. */
  on(socket: Socket): readonly ServerResponse[] {
    return Array.from(this.#bySocket.get(socket) ?? [], ({ response }) => response)
  }

  /** How many requests of a connection are not answered to the end. */
  countOn(socket: Socket): number {
    return this.#bySocket.get(socket)?.size ?? 0
  }

  /** An answer is about to be sent: from now on it is its client's turn. */
  sent(response: ServerResponse): void {
    const answers = this.#bySocket.get(response.req.socket)
    const answer = answers?.find((each) => each.response === response)?.value
    // Its client may have gone.
    if (answer === undefined) return
    answer.turn = turnOf(response)
    answer.sent ??= this.#sent.append(answer)
  }

  /**
   * Cuts the connections whose clients take too long over an answer, and, where too much is kept for such clients, those
   * that have had theirs for longest. To be called about once a second.
   *
   * @returns how many were cut
   */
  cutSlow({ patience, maxUnreadBytes }: SlowReaderBounds): number {
    const now = performance.now()
    let unreadBytes = 0
    let cut = 0
    for (const answer of this.#sent) {
      const { response } = answer
      const { socket, writableLength } = response
      answer.turn ??= turnOf(response)
      const { turn } = answer
      const isSlow =
        socket !== null &&
        turn !== undefined &&
        now - turn.sinceMs >=
          allowedMs(patience, socket.bytesWritten - socket.writableLength - turn.bytesBefore)
      if (isSlow) {
        socket.destroy()
        cut++
      } else if (!response.req.socket.destroyed) unreadBytes += writableLength
    }
    return cut + this.#cutOldest(unreadBytes - maxUnreadBytes)
  }

  /** Cuts connections, longest waiting first, until so many bytes are freed; with one go all its answers. */
  #cutOldest(bytesToFree: number): number {
    let left = bytesToFree
    let cut = 0
    for (const { response } of this.#sent) {
      const { req } = response
      if (left <= 0) break
      const bytes = this.on(req.socket).reduce((sum, { writableLength }) => sum + writableLength, 0)
      if (req.socket.destroyed || bytes < worthCuttingBytes) continue
      req.socket.destroy()
      cut++
      left -= bytes
    }
    return cut
  }
}

/** Behind another answer of its connection, one has no socket yet. What waits to be taken has been written, for Node. */
function turnOf({ socket }: ServerResponse): Turn {
  if (socket === null) return undefined
  return { sinceMs: performance.now(), bytesBefore: socket.bytesWritten - socket.writableLength }
}
