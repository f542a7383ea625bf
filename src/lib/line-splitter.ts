/** One line of a stream: where it is, and its bytes without the line feed, or undefined when there are too many. */
export type Line = { readonly number: number; readonly bytes: Buffer | undefined }

const lineFeed = 0x0a

/** Most pieces that a line is held in. */
const maxParts = 64

/** Cuts a stream of bytes into lines, and holds no more than one of them at a time, up to a length. */
export class LineSplitter {
  readonly #maxBytes: number
  /** The beginning of a line whose end has not come yet. */
  #parts: Buffer[] = []
  #length = 0
  #number = 1

  /** @param maxBytes longest line whose bytes are kept */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Takes the next bytes; returns the lines that they end, in order. */
  push(chunk: Buffer): Line[] {
    const lines: Line[] = []
    let start = 0
    for (;;) {
      const end = chunk.indexOf(lineFeed, start)
      this.#add(chunk.subarray(start, end < 0 ? chunk.length : end))
      if (end < 0) return lines
      lines.push(this.#take())
      start = end + 1
    }
  }

  /** The last line, where the stream did not end with a line feed. */
  end(): Line[] {
    return this.#length === 0 ? [] : [this.#take()]
  }

  #add(part: Buffer): void {
    this.#length += part.length
    if (this.#length > this.#maxBytes) this.#parts = []
    else if (part.length > 0) this.#parts.push(part)
    // Bytes that come one by one must not cost an object each.
    if (this.#parts.length > maxParts) this.#parts = [Buffer.concat(this.#parts)]
  }

  #take(): Line {
    const isKept = this.#length <= this.#maxBytes
    const [only = Buffer.alloc(0), ...more] = this.#parts
    const bytes = more.length === 0 ? only : Buffer.concat(this.#parts)
    this.#parts = []
    this.#length = 0
    return { number: this.#number++, bytes: isKept ? bytes : undefined }
  }
}
