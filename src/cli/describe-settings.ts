import { settings } from '../config.ts'

const beginMark = '<!-- settings: made by `npm run docs` from src/config.ts -->'
const endMark = '<!-- end of settings -->'

/**
 * The page with the table of all settings between its marks, in place of what is there.
 *
 * @throws RangeError for a page without the marks
 */
export function withSettingsTable(page: string): string {
  const begin = page.indexOf(beginMark)
  const end = page.indexOf(endMark)
  if (begin === -1 || end < begin) throw new RangeError(`The page has no ${beginMark} before ${endMark}`)
  return `${page.slice(0, begin)}${beginMark}\n\n${settingsTable()}\n${page.slice(end)}`
}

function settingsTable(): string {
  const rows = Object.values(settings).map(({ name, default: fallback, description }) => [
    `\`${name}\``,
    fallback === undefined ? 'none' : `\`${fallback}\``,
    description.replaceAll('|', '\\|'),
  ])
  const all = [['Name', 'Default', 'What it does'], ['---', '---', '---'], ...rows]
  return all.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}

/** The text of .env.example: every setting with its default, commented out. */
export function environmentExample(): string {
  const head = '# Copy to .env and uncomment what you change. Made by `npm run docs` from src/config.ts.\n'
  const each = Object.values(settings).map(
    ({ name, default: fallback = '', description }) => `\n# ${description}\n# ${name}=${fallback}\n`,
  )
  return head + each.join('')
}
