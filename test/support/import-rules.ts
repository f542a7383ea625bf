import type { SourceFile } from './imports.ts'

/** One rule of docs/architecture.md, and made-up files that break it. */
export type Rule = {
  /** Reads as a sentence, as the page has it. */
  readonly name: string
  /** @returns a line for each violation, with the path of the file in it */
  readonly check: (files: readonly SourceFile[]) => string[]
  /** Put among the real files, each must be found. */
  readonly bites: readonly { readonly path: string; readonly text: string }[]
}

/** What each folder of src, or file right in it, may import besides itself. One that is not here may not exist. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  lib: [],
  setting: ['auth'],
  config: ['auth', 'errors', 'setting'],
  db: ['errors', 'lib'],
  http: ['errors', 'lib'],
  limits: ['errors', 'lib'],
  auth: ['errors', 'lib', 'limits'],
  ops: ['errors', 'http', 'lib'],
  accounts: ['db', 'errors', 'http', 'lib', 'limits'],
  idempotency: ['db', 'errors', 'http'],
  tasks: ['db', 'errors', 'http', 'idempotency', 'lib'],
  app: ['accounts', 'auth', 'db', 'http', 'ops', 'tasks'],
  'describe-api': ['app', 'auth', 'db', 'ops'],
  cli: ['accounts', 'auth', 'config', 'db', 'describe-api', 'errors', 'tasks'],
  serve: ['app', 'auth', 'cli', 'config', 'db', 'errors', 'http', 'limits', 'ops', 'tasks'],
  workers: ['app', 'auth', 'cli', 'config', 'db', 'errors', 'limits', 'ops', 'serve'],
  main: ['cli', 'serve', 'workers'],
}

/** The modules of src/db that the rest of the service may know. */
const databaseSurface = /^src\/db\/(connect|database|sql|sqlstate)\.ts$/

/** The files of a slice that hold its SQL. */
const storeFile = /^(?:store|[\w-]+-store|list-query)\.ts$/

/** Within a slice: which file may import which, by name within src/tasks. */
const sliceLayers: readonly (readonly [of: RegExp, mayImport: RegExp])[] = [
  [/^routes\//, /^(?!(store|[\w-]+-store|list-query)\.ts$)/],
  [storeFile, /^(store|[\w-]+-store|list-query|task)\.ts$/],
  [/^[\w-]*schema\.ts$/, /^([\w-]*schema|task)\.ts$/],
  [/^[\w-]+\.ts$/, /^(?!routes\/|([\w-]+-)?schema\.ts$)/],
]

/** A read that has no rule of its own goes to the store without a command that only passes it on. */
const readsWithoutCommand = new Set([
  'src/tasks/routes/list-tasks.ts → listTasks',
  'src/tasks/routes/list-trash.ts → listTrash',
])

/** Each package, with the files that import it and those that may import its types. */
const packageOwners: Readonly<Record<string, readonly [owner: RegExp, types?: RegExp]>> = {
  pg: [/^src\/(db|accounts)\//],
  'better-auth': [/^src\/accounts\//],
  kysely: [/^src\/accounts\/database\.ts$/],
  ajv: [/^src\/http\/validation\.ts$/],
  '@redis/client': [/^src\/limits\/redis-buckets\.ts$/],
  'find-my-way': [/^src\/http\/methods\.ts$/],
  '@fastify/swagger': [/^src\/http\/openapi\.ts$/],
  '@fastify/swagger-ui': [/^src\/http\/openapi\.ts$/],
  fastify: [
    /^src\/http\/server\.ts$/,
    /^src\/(http\/|auth\/(guard|failed-tokens)\.ts|accounts\/routes\.ts|idempotency\/|ops\/(logging|metrics|overload|request-metrics)\.ts|app\.ts)/,
  ],
  pino: [/^src\/ops\/logging\.ts$/],
  typebox: [
    /^src\/(http\/responses|idempotency\/schema|tasks\/([\w-]+-)?schema|tasks\/routes\/[\w-]+|ops\/health)\.ts$/,
    /^src\/http\//,
  ],
}

/** The files of the product, without those of the tests. */
export function inSource(files: readonly SourceFile[]): SourceFile[] {
  return files.filter(({ path }) => path.startsWith('src/'))
}

function areaOf(path: string): string {
  const [, first = ''] = path.split('/')
  return first.replace(/\.ts$/, '')
}

/** A rule that looks at one import at a time; `check` says what is wrong with it, if anything. */
export function eachImport(
  check: (file: SourceFile, found: SourceFile['imports'][number]) => string | undefined,
) {
  return (files: readonly SourceFile[]): string[] =>
    inSource(files).flatMap((file) =>
      file.imports.flatMap((found) => {
        const problem = check(file, found)
        return problem === undefined ? [] : [`${file.path}: ${problem}`]
      }),
    )
}

/** Goes along imports until a file comes again. */
function findCycles(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
    } else if (!done.has(path)) {
      for (const { target } of byPath.get(path)?.imports ?? []) visit(target, [...trail, path])
      done.add(path)
    }
  }
  for (const { path } of inSource(files)) visit(path, [])
  return cycles
}

/** The rules about who may import what. */
export const importRules: readonly Rule[] = [
  {
    name: 'imports point down the list of folders',
    check: eachImport(({ path }, { target }) => {
      const [from, to] = [areaOf(path), areaOf(target)]
      const allowed = mayImport[from]
      if (allowed === undefined) return `nothing says what ${from} may import`
      if (!target.startsWith('src/') || from === to || allowed.includes(to)) return undefined
      return `${from} imports ${to}`
    }),
    bites: [
      { path: 'src/lib/clock.ts', text: "import { AppError } from '../errors.ts'\n" },
      { path: 'src/db/bad.ts', text: "import type { Task } from '../tasks/task.ts'\n" },
      { path: 'src/http/bad.ts', text: "import { findTask } from '../tasks/store.ts'\n" },
      { path: 'src/auth/bad.ts', text: "export { findTask } from '../tasks/store.ts'\n" },
      { path: 'src/tasks/bad.ts', text: "const later = () => import('../config.ts')\n" },
      { path: 'src/unknown/bad.ts', text: "import { newId } from '../lib/ids.ts'\n" },
    ],
  },
  {
    name: 'within a slice: routes → commands → store',
    check: eachImport(({ path }, { target, names }) => {
      const [from, to] = [path, target].map((each) => each.replace(/^src\/tasks\//, ''))
      const layer = sliceLayers.find(([of]) => of.test(from ?? ''))
      if (layer === undefined || from === path || to === target || layer[1].test(to ?? '')) return undefined
      const direct = storeFile.test(to ?? '') && names.every((n) => readsWithoutCommand.has(`${path} → ${n}`))
      return direct && names.length > 0 ? undefined : `${from} imports ${to}`
    }),
    bites: [
      { path: 'src/tasks/routes/bad.ts', text: "import { insertTask } from '../store.ts'\n" },
      {
        path: 'src/tasks/routes/list-tasks.ts',
        text: "import { listTasks, removeTask } from '../store.ts'\n",
      },
      { path: 'src/tasks/store.ts', text: "import { createTask } from './commands.ts'\n" },
      { path: 'src/tasks/commands.ts', text: "import { TaskSchema } from './schema.ts'\n" },
    ],
  },
  {
    name: 'routes know types of the database alone, and only a store writes SQL',
    check: eachImport(({ path }, { target, typeOnly }) => {
      if (/\/routes\//.test(path) && target.startsWith('src/db/') && !typeOnly) return `imports ${target}`
      const isAllowed = path.startsWith('src/db/') || storeFile.test(path.replace(/^src\/[\w-]+\//, ''))
      return target === 'src/db/sql.ts' && !isAllowed ? 'writes SQL' : undefined
    }),
    bites: [
      { path: 'src/tasks/routes/bad.ts', text: "import { openDatabase } from '../../db/database.ts'\n" },
      { path: 'src/tasks/commands.ts', text: "import { sql } from '../db/sql.ts'\n" },
    ],
  },
  {
    name: 'of src/db, others import only connect, database, sql and sqlstate',
    check: eachImport(({ path }, { target }) => {
      const isInside = path.startsWith('src/db/') || !target.startsWith('src/db/')
      return isInside || databaseSurface.test(target) ? undefined : `imports ${target}`
    }),
    bites: [{ path: 'src/tasks/bad.ts', text: "import { Exchange } from '../db/exchange.ts'\n" }],
  },
  {
    name: 'each package has one owner',
    check: eachImport(({ path }, { target, typeOnly }) => {
      if (target.startsWith('node:') || target.startsWith('src/')) return undefined
      const owners = packageOwners[target]
      if (owners === undefined) return `imports ${target}, which nobody owns`
      const isAllowed = owners[0].test(path) || (typeOnly && owners[1]?.test(path))
      return isAllowed ? undefined : `imports ${target}`
    }),
    bites: [
      { path: 'src/tasks/bad.ts', text: "import pg from 'pg'\n" },
      { path: 'src/http/bad.ts', text: "import { Ajv } from 'ajv'\n" },
      { path: 'src/http/worse.ts', text: "import { type FastifyReply, fastify } from 'fastify'\n" },
      { path: 'src/db/bad.ts', text: "import lodash from 'lodash'\n" },
    ],
  },
  {
    name: 'specifiers have their extension, and node: for what is built in',
    check: eachImport((_, { specifier }) => {
      if (specifier.startsWith('.')) return specifier.endsWith('.ts') ? undefined : `imports ${specifier}`
      return process.getBuiltinModule(specifier) === undefined || specifier.startsWith('node:')
        ? undefined
        : `imports ${specifier} without node:`
    }),
    bites: [
      { path: 'src/lib/bad.ts', text: "import { newId } from './ids'\n" },
      { path: 'src/lib/worse.ts', text: "import { hash } from 'crypto'\n" },
    ],
  },
  {
    name: 'no file imports itself by way of others',
    check: findCycles,
    bites: [
      { path: 'src/lib/a.ts', text: "import { b } from './b.ts'\n" },
      { path: 'src/lib/b.ts', text: "import type { a } from './a.ts'\n" },
    ],
  },
]
