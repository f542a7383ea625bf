import { basename } from 'node:path'
import { eachImport, inSource, type Rule } from './import-rules.ts'
import type { SourceFile } from './imports.ts'

/** A rule that no code may match the pattern, but for the files that `except` names. */
function noCode(pattern: RegExp, what: string, except: RegExp = /^$/) {
  return (files: readonly SourceFile[]): string[] =>
    inSource(files)
      .filter(({ path, code }) => pattern.test(code) && !except.test(path))
      .map(({ path }) => `${path}: ${what}`)
}

/**
 * The operations by the name of their route file, their operationId and their test. A test of one aspect of an
 * operation has its name first: `create-task-with-id.test.ts`.
 */
function checkOperations(files: readonly SourceFile[]): string[] {
  const names = (folder: RegExp, suffix: string) =>
    files.filter(({ path }) => folder.test(path)).map(({ path }) => basename(path, suffix))
  const tests = new Set(names(/^test\/api\/[^/]+\.test\.ts$/, '.test.ts'))
  const routes = files.filter(
    ({ path, text }) => /^src\/\w+\/routes\//.test(path) && text.includes('operationId'),
  )
  const operations = routes.map(({ path }) => basename(path, '.ts'))
  const withoutRoute = [...tests].filter(
    (name) => !operations.some((each) => `${name}-`.startsWith(`${each}-`)),
  )
  return [
    ...routes.flatMap(({ path, text }) => {
      const name = basename(path, '.ts')
      const id = name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
      const register = `register${id[0]?.toUpperCase()}${id.slice(1)}`
      return [
        text.split(`operationId: '${id}'`).length === 2 ? '' : `${path}: its operationId is not ${id}`,
        text.includes(`export function ${register}(`) ? '' : `${path}: does not export ${register}`,
        tests.has(name) ? '' : `${path}: has no test/api/${name}.test.ts`,
      ].filter(Boolean)
    }),
    ...withoutRoute.map((name) => `test/api/${name}.test.ts: tests no operation`),
  ]
}

/** Code that does something as soon as the file is loaded: a statement that declares nothing. */
function findStatements({ code }: SourceFile): string[] {
  const declaration =
    /^(import|export|const|function|async function|class|abstract class|type|interface|declare)\b/
  return code
    .split('\n')
    .filter((line) => /^[^\s})\]>'"`/,]/.test(line) && !declaration.test(line))
    .concat(code.match(/^(?:export )?const [^\n]*\bawait\b.*/gm) ?? [])
}

/** The other rules, given the files that the scripts of package.json run: those may act when they are loaded. */
export function codeRules(entryPoints: ReadonlySet<string>): readonly Rule[] {
  return [
    {
      name: 'only src/db/database.ts makes a scope, and only src/db/sql.ts makes SQL text',
      check: (files) => [
        ...noCode(/\bas (unknown as )?UserScope\b/, 'makes a scope', /^src\/db\/database\.ts$/)(files),
        ...noCode(/\bas (unknown as )?Fragment\b/, 'makes SQL text', /^src\/db\/sql\.ts$/)(files),
      ],
      bites: [
        { path: 'src/tasks/bad.ts', text: 'const scope = {} as UserScope\n' },
        { path: 'src/tasks/worse.ts', text: 'const input = { text } as unknown as Fragment\n' },
      ],
    },
    {
      name: 'no file has more than 300 lines',
      check: (files) =>
        files
          .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
          .filter(({ lines }) => lines > 300)
          .map(({ path, lines }) => `${path}: ${lines} lines`),
      bites: [{ path: 'src/lib/bad.ts', text: '// line\n'.repeat(301) }],
    },
    {
      name: 'files and folders are named in kebab-case',
      check: (files) =>
        files
          .map(({ path }) => path)
          .filter((path) => !/^([a-z0-9]+(-[a-z0-9]+)*\/)+[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(path)),
      bites: [
        { path: 'src/lib/newIds.ts', text: '' },
        { path: 'src/Utils/ids.ts', text: '' },
      ],
    },
    {
      name: 'exports have names',
      check: noCode(/^export default\b|\bas default\b/m, 'has a default export'),
      bites: [{ path: 'src/lib/bad.ts', text: 'export default function clock() {}\n' }],
    },
    {
      name: 'nothing writes to the console',
      check: noCode(/\bconsole\s*\./, 'uses the console'),
      bites: [{ path: 'src/lib/bad.ts', text: "const say = () => console.log('hello')\n" }],
    },
    {
      name: 'the environment is read in one place',
      check: noCode(/\bprocess\s*\.\s*env\b/, 'reads the environment', /^src\/cli\/command\.ts$/),
      bites: [{ path: 'src/db/bad.ts', text: 'const url = () => process.env.DATABASE_URL\n' }],
    },
    {
      name: 'only what a script of package.json runs acts when it is loaded, and nobody imports it',
      check: (files) => [
        ...inSource(files)
          .filter(({ path }) => !entryPoints.has(path))
          .flatMap((file) => findStatements(file).map((line) => `${file.path}: ${line}`)),
        ...eachImport((_, { target }) => (entryPoints.has(target) ? `imports ${target}` : undefined))(files),
      ],
      bites: [
        { path: 'src/lib/bad.ts', text: "process.on('exit', () => {})\n" },
        { path: 'src/lib/worse.ts', text: 'export const now = await fetch(url)\n' },
        { path: 'src/ops/bad.ts', text: "import '../main.ts'\n" },
      ],
    },
    {
      name: 'an operation has one name: its file, its operationId, its test',
      check: checkOperations,
      bites: [
        {
          path: 'src/tasks/routes/pin-task.ts',
          text: "export function registerPinTask() { return { operationId: 'pin' } }\n",
        },
        { path: 'test/api/pin-list.test.ts', text: '' },
      ],
    },
  ]
}
