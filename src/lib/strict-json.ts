export type JsonObject = { readonly [name: string]: unknown }

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

type Parsed =
  | { readonly ok: true; readonly value: JsonObject }
  | { readonly ok: false; readonly reason: string }

const maxDepth = 32

// ignoreBOM keeps a byte order mark in the text, where it is refused.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const literals = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const

const notJson = 'not JSON in UTF-8'
const quote = 0x22
const backslash = 0x5c

/** Why a text is refused; its message quotes nothing of the text. */
class Refusal extends Error {}

/**
 * Reads one text from its start to its end. JSON.parse is not enough: it keeps the last of two equal names
 * without a word, and the V8 of Node 24 and 26 reads an escaped name wrong (`"\n"` as a backslash) after it has
 * parsed certain other texts, which any caller can send: https://github.com/nodejs/node/issues/63785.
 */
class StrictReader {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  readDocument(): JsonObject {
    if (!this.#take('{')) throw new Refusal('not a JSON object')
    const object = this.#readMembers()
    this.#skipSpace()
    if (this.#at < this.#text.length) throw new Refusal(notJson)
    return object
  }

  #readValue(): unknown {
    if (this.#take('"')) return this.#readString()
    if (this.#take('{')) return this.#readMembers()
    if (this.#take('[')) return this.#readItems()
    for (const [word, value] of literals) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length
        return value
      }
    }
    numberPattern.lastIndex = this.#at
    const [digits] = numberPattern.exec(this.#text) ?? []
    if (digits === undefined) throw new Refusal(notJson)
    this.#at += digits.length
    return Number(digits)
  }

  #readMembers(): JsonObject {
    // Without a prototype, so that no name is there that the text does not have, and __proto__ is a name.
    const object: Record<string, unknown> = Object.create(null)
    this.#enter()
    if (!this.#take('}')) {
      do {
        this.#expect('"')
        const name = this.#readString()
        if (Object.hasOwn(object, name)) throw new Refusal('a member name occurs twice')
        this.#expect(':')
        object[name] = this.#readValue()
      } while (this.#take(','))
      this.#expect('}')
    }
    this.#depth--
    return object
  }

  #readItems(): unknown[] {
    const items: unknown[] = []
    this.#enter()
    if (!this.#take(']')) {
      do items.push(this.#readValue())
      while (this.#take(','))
      this.#expect(']')
    }
    this.#depth--
    return items
  }

  /** Reads from behind the opening quote to behind the closing one. */
  #readString(): string {
    const start = this.#at
    let end = start
    let isEscaped = false
    for (let code = this.#text.charCodeAt(end); code !== quote; code = this.#text.charCodeAt(++end)) {
      // Written so that NaN, the end of the text, is refused with the control characters.
      if (!(code >= 0x20)) throw new Refusal(notJson)
      if (code === backslash) {
        isEscaped = true
        end++
      }
    }
    this.#at = end + 1
    if (!isEscaped) return this.#text.slice(start, end)
    // Alone, not as a name, a string with escapes is read right.
    const value: string = JSON.parse(this.#text.slice(start - 1, end + 1))
    return value
  }

  #enter(): void {
    this.#depth++
    if (this.#depth > maxDepth) throw new Refusal(`nested deeper than ${maxDepth} levels`)
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  /** Steps over white space, and over the character if it comes next. */
  #take(character: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw new Refusal(notJson)
  }
}

/**
 * Reads a JSON object (RFC 8259) strictly: fatal UTF-8 without a byte order mark, at most 32 levels, and no
 * member name twice in one object, however it is escaped (RFC 7515 §4, RFC 7519 §4).
 * @returns the object, or why it was refused, in words that quote nothing of it
 */
export function parseJsonObject(bytes: Uint8Array): Parsed {
  try {
    return { ok: true, value: new StrictReader(utf8.decode(bytes)).readDocument() }
  } catch (error) {
    return { ok: false, reason: error instanceof Refusal ? error.message : notJson }
  }
}
