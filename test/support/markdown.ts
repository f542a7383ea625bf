import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './imports.ts'

export type Block = { readonly language: string; readonly text: string }

export type Page = {
  /** From the root of the repository. */
  readonly path: string
  readonly text: string
  /** Fenced blocks in order. */
  readonly blocks: readonly Block[]
}

/** A Markdown file of the repository. */
export function readPage(path: string): Page {
  const text = readFileSync(join(root, path), 'utf8')
  const blocks = Array.from(
    text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm),
    ([, language = '', body = '']) => ({
      language,
      text: body,
    }),
  )
  return { path, text, blocks }
}

/** All documents: those of docs/, and those at the root. */
export function readPages(): Page[] {
  return globSync(['*.md', 'docs/**/*.md'], { cwd: root }).sort().map(readPage)
}

/** The rows of the first table after a line, each as its cells; without the two rows of its head. */
export function tableAfter({ text, path }: Page, line: string): string[][] {
  const at = text.indexOf(`${line}\n`)
  const table = at === -1 ? undefined : /^\|[\s\S]*?(?=\n[^|]|\n*$(?![\s\S]))/m.exec(text.slice(at))?.[0]
  if (table === undefined) throw new Error(`${path} has no table after ${line}`)
  const cells = (row: string) => row.slice(1, -1).split(/(?<!\\)\|/)
  return table
    .split('\n')
    .slice(2)
    .map((row) => cells(row).map((cell) => cell.trim()))
}

/** What a page links to within the repository: paths from its root, with the anchor if there is one. */
export function localLinks({ path, text }: Page): { readonly path: string; readonly anchor: string }[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '')
  return Array.from(prose.matchAll(/\]\(([^)\s]+)\)/g), ([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = '', anchor = ''] = target.split('#', 2)
      return { path: file === '' ? path : join(dirname(path), file), anchor }
    })
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf({ text }: Page): string[] {
  return Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** Puts fixed values in the place of what differs each time: ids, times, tokens, durations. */
export function steady(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<id>')
    .replaceAll(/"user_id":\s*"[A-Za-z0-9]{32}"/g, '"user_id":"<user>"')
    .replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>')
    .replaceAll(/\beyJ[\w.…-]*/g, '<token>')
    .replaceAll(/\b\d+\.\d s\b/g, '<seconds>')
}
