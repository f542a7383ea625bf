export type JsonObject = { readonly [name: string]: unknown }
type Parsed =
  | { readonly ok: true; readonly value: JsonObject }
  | { readonly ok: false; readonly reason: string }

const maxDepth = 32

// ignoreBOM keeps a byte order mark in the text, where JSON.parse refuses it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The number of members that the text writes down, in all its objects together: each has one colon outside
 * the strings. Undefined when it nests deeper than the limit. Right for valid JSON only.
 */
function countWrittenMembers(text: string): number | undefined {
  let members = 0
  let depth = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === quote) {
      for (index++; index < text.length && text.charCodeAt(index) !== quote; index++) {
        if (text.charCodeAt(index) === backslash) index++
      }
    } else if (code === colon) {
      members++
    } else if (code === 0x7b || code === 0x5b) {
      depth++
      if (depth > maxDepth) return undefined
    } else if (code === 0x7d || code === 0x5d) {
      depth--
    }
  }
  return members
}

/** The number of members in a parsed value and all below it; its depth is bounded by the scan before it. */
function countKeptMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const children: unknown[] = Object.values(value)
  let members = Array.isArray(value) ? 0 : children.length
  for (const child of children) members += countKeptMembers(child)
  return members
}

/**
 * Reads a JSON object (RFC 8259) strictly: fatal UTF-8 without a byte order mark, at most 32 levels, and no
 * member name twice in one object, however it is escaped (RFC 7515 §4, RFC 7519 §4). JSON.parse keeps the last
 * of two equal names, so the names are unique when it has kept as many members as the text has colons.
 * @returns the object, or why it was refused, in words that quote nothing of it
 */
export function parseJsonObject(bytes: Uint8Array): Parsed {
  let value: unknown
  let written: number | undefined
  try {
    const text = utf8.decode(bytes)
    written = countWrittenMembers(text)
    if (written === undefined) return { ok: false, reason: `nested deeper than ${maxDepth} levels` }
    value = JSON.parse(text)
  } catch {
    return { ok: false, reason: 'not JSON in UTF-8' }
  }
  if (!isJsonObject(value)) return { ok: false, reason: 'not a JSON object' }
  if (countKeptMembers(value) !== written) return { ok: false, reason: 'a member name occurs twice' }
  return { ok: true, value }
}
