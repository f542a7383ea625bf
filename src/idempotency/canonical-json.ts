type Frame = {
  readonly values: readonly unknown[]
  /** The names of the values, of an object. */
  readonly names: readonly string[] | undefined
  next: number
}

/**
 * A JSON value as text that does not depend on white space, on the order of members or on how a character is escaped:
 * two bodies that mean the same have the same text. Members are sorted as in RFC 8785 §3.2.3. It does not recurse, as
 * a body may be nested half a million deep.
 */
export function canonicalJson(value: unknown): string {
  let text = ''
  const open: Frame[] = []
  const write = (each: unknown) => {
    if (typeof each !== 'object' || each === null) {
      text += typeof each === 'string' ? JSON.stringify(each) : String(each)
    } else {
      const frame = enter(each)
      text += frame.names === undefined ? '[' : '{'
      open.push(frame)
    }
  }
  write(value)
  for (let frame = open.at(-1); frame !== undefined; frame = open.at(-1)) {
    const { values, names } = frame
    // On to the next value that has values of its own, which come first.
    const depth = open.length
    while (frame.next < values.length && open.length === depth) {
      if (frame.next > 0) text += ','
      if (names !== undefined) text += `${JSON.stringify(names[frame.next])}:`
      write(values[frame.next++])
    }
    if (open.length > depth) continue
    text += names === undefined ? ']' : '}'
    open.pop()
  }
  return text
}

function enter(value: object): Frame {
  if (Array.isArray(value)) return { values: value, names: undefined, next: 0 }
  const members = Object.entries(value)
  members.sort(([a], [b]) => (a < b ? -1 : 1))
  return { values: members.map(([, member]) => member), names: members.map(([name]) => name), next: 0 }
}
