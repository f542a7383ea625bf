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
  const parts: string[] = []
  const open: Frame[] = []
  const write = (each: unknown) => {
    const frame = enter(each)
    if (frame === undefined) {
      parts.push(JSON.stringify(each))
    } else {
      parts.push(frame.names === undefined ? '[' : '{')
      open.push(frame)
    }
  }
  write(value)
  for (let frame = open.at(-1); frame !== undefined; frame = open.at(-1)) {
    const { values, names, next } = frame
    if (next === values.length) {
      parts.push(names === undefined ? ']' : '}')
      open.pop()
      continue
    }
    if (next > 0) parts.push(',')
    if (names !== undefined) parts.push(JSON.stringify(names[next]), ':')
    frame.next++
    write(values[next])
  }
  return parts.join('')
}

function enter(value: unknown): Frame | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (Array.isArray(value)) return { values: value, names: undefined, next: 0 }
  const members = new Map(Object.entries(value))
  const names = [...members.keys()].sort()
  return { values: names.map((name) => members.get(name)), names, next: 0 }
}
