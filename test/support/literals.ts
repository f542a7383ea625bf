/** What can come before a regular expression; after anything else a slash divides. */
const beforeRegularExpression =
  /(?:^|[=(,:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|void|await|yield))$/

/**
 * Replaces what is in comments, strings, templates and regular expressions by spaces, so that a pattern finds code
 * only. Quotes, lines and columns stay where they are; the code in the `${}` of a template stays too.
 *
 * @param text TypeScript without JSX
 */
export function blankLiterals(text: string): string {
  let code = ''
  let at = 0
  /** The depth of braces at each template whose `${}` is open. */
  const templates: number[] = []
  let depth = 0

  /** Copies, or blanks, up to `end`. */
  function take(end: number, keep: boolean): void {
    const piece = text.slice(at, end)
    code += keep ? piece : piece.replaceAll(/[^\n]/g, ' ')
    at = Math.min(end, text.length)
  }

  /** From behind an opening quote to behind the closing one, or to behind a template's next `${`. */
  function takeLiteral(close: string): void {
    let end = at
    let inClass = false
    for (; end < text.length; end++) {
      const character = text[end]
      if (character === '\\') end++
      else if (close === '/' && (character === '[' || character === ']')) inClass = character === '['
      else if (close === '`' && text.startsWith('${', end)) {
        take(end, false)
        take(end + 2, true)
        templates.push(depth++)
        return
      } else if (character === close && !inClass) break
    }
    take(end, false)
    take(end + 1, true)
  }

  while (at < text.length) {
    const character = text[at] ?? ''
    const next = text[at + 1]
    if (character === '/' && next === '/') take(endOf('\n', at), false)
    else if (character === '/' && next === '*') take(endOf('*/', at + 2) + 2, false)
    else if (character === '"' || character === "'" || character === '`') {
      take(at + 1, true)
      takeLiteral(character)
    } else if (character === '/' && beforeRegularExpression.test(code.trimEnd())) {
      take(at + 1, true)
      takeLiteral('/')
    } else {
      if (character === '{') depth++
      if (character === '}') depth--
      const isTemplateAgain = character === '}' && templates.at(-1) === depth
      take(at + 1, true)
      if (!isTemplateAgain) continue
      templates.pop()
      takeLiteral('`')
    }
  }
  return code

  function endOf(mark: string, from: number): number {
    const found = text.indexOf(mark, from)
    return found === -1 ? text.length : found
  }
}
