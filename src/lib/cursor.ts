import { hash } from 'node:crypto'

/**
 * An opaque place in a list: URL-safe text that holds `position` and a digest that binds it to `binding`, what it may
 * be used with (user, filter, sort). No key is needed: a forged cursor shows nothing that its user's own scope would
 * not; the digest is there to tell a damaged or foreign one from a good one.
 *
 * @param position short strings
 */
export function encodeCursor(position: readonly string[], binding: readonly string[]): string {
  const payload = JSON.stringify(position)
  return Buffer.from(`${digest(payload, binding)}${payload}`).toString('base64url')
}

/** The position in a cursor, or undefined when it is damaged or was made with another binding. */
export function decodeCursor(cursor: string, binding: readonly string[]): string[] | undefined {
  const text = Buffer.from(cursor, 'base64url').toString()
  const payload = text.slice(digestLength)
  if (
    Buffer.from(text).toString('base64url') !== cursor ||
    text.slice(0, digestLength) !== digest(payload, binding)
  ) {
    return undefined
  }
  // The digest says that encodeCursor wrote it, or somebody who knows how.
  return readPosition(payload)
}

function readPosition(payload: string): string[] | undefined {
  try {
    const position: unknown = JSON.parse(payload)
    const isPosition = Array.isArray(position) && position.every((each) => typeof each === 'string')
    return isPosition ? position : undefined
  } catch {
    return undefined
  }
}

const digestLength = 22

function digest(payload: string, binding: readonly string[]): string {
  return hash('sha256', JSON.stringify([payload, ...binding]), 'base64url').slice(0, digestLength)
}
