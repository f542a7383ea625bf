import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blankLiterals } from './literals.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))

export type Import = {
  /** As it is written. */
  readonly specifier: string
  /** The file within the repository that a relative specifier means, or the package or module of another. */
  readonly target: string
  readonly names: readonly string[]
  /** Gone when the program runs. */
  readonly typeOnly: boolean
}

export type SourceFile = {
  /** From the root of the repository, with `/`. */
  readonly path: string
  readonly text: string
  /** The text with spaces for what is in comments and literals; every line and column stays where it is. */
  readonly code: string
  readonly imports: readonly Import[]
}

/** Reads the files that match, sorted by path. @param patterns globs from the root of the repository */
export function readSource(...patterns: string[]): SourceFile[] {
  const paths = globSync(patterns, { cwd: root }).map((path) => path.replaceAll('\\', '/'))
  return paths.sort().map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')))
}

/** The file as the rules see it. */
export function parseSource(path: string, text: string): SourceFile {
  const code = blankLiterals(text)
  return { path, text, code, imports: readImports(path, text, code) }
}

const specifierPlace = /(?:\bfrom\s*|^import\s*|\bimport\s*\(\s*)(['"`])/gm

function readImports(path: string, text: string, code: string): Import[] {
  return Array.from(code.matchAll(specifierPlace), (match) => {
    const quote = match[1] ?? ''
    const start = match.index + match[0].length
    const specifier = text.slice(start, code.indexOf(quote, start))
    const head = match[0].startsWith('from') ? statementBefore(code, match.index) : ''
    const names =
      /\{([\s\S]*)\}/
        .exec(head)?.[1]
        ?.split(',')
        .map((name) => name.trim()) ?? []
    const named = names.filter(Boolean)
    return {
      specifier,
      target: specifier.startsWith('.') ? join(dirname(path), specifier) : packageOf(specifier),
      names: named.map((name) => name.replace(/^type /, '').replace(/ as .*$/, '')),
      typeOnly:
        /^(import|export) type\b/.test(head) ||
        (/^(import|export) \{/.test(head) && named.every((name) => name.startsWith('type '))),
    }
  })
}

function statementBefore(code: string, index: number): string {
  const starts = Array.from(code.slice(0, index).matchAll(/^(?:import|export)\b/gm))
  return code.slice(starts.at(-1)?.index ?? index, index)
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}
