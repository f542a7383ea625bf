const quote = 0x22
const backslash = 0x5c

/**
 * Whether arrays and objects of a JSON text are nested deeper than a bound. It looks at the bytes alone: of what is not
 * JSON it may say either. RFC 8259 §9 lets a parser set such a bound; without one, all that walks through the value
 * afterwards would have to be proof against any depth.
 *
 * @param text JSON in UTF-8
 * @param maxDepth levels; an array of numbers has one
 */
export function isDeeperThan(text: Buffer, maxDepth: number): boolean {
  if (text.length <= maxDepth) return false
  let depth = 0
  let isInString = false
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]
    if (byte === quote) isInString = !isInString
    else if (isInString) at += byte === backslash ? 1 : 0
    // [ and {, then ] and }: they differ by one bit.
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) return true
    } else if (byte === 0x5d || byte === 0x7d) depth--
  }
  return false
}
