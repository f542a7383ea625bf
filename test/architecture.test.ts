import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { codeRules } from './support/code-rules.ts'
import { importRules } from './support/import-rules.ts'
import { parseSource, readSource, root } from './support/imports.ts'
import { blankLiterals } from './support/literals.ts'

const { scripts, dependencies } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
const entryPoints = new Set(
  Object.values<string>(scripts).flatMap((script) => script.match(/src\/\S+/) ?? []),
)
const files = readSource('src/**/*.ts', 'test/api/*.ts')

test('the rules see every source file and every import of it', () => {
  const source = files.filter(({ path }) => path.startsWith('src/'))
  assert.ok(source.length > 50)
  const server = source.find(({ path }) => path === 'src/http/server.ts')
  assert.ok(server?.imports.some(({ target, typeOnly }) => target === 'fastify' && !typeOnly))
  assert.ok(server?.imports.some(({ target, typeOnly }) => target === 'typebox' && typeOnly))
  assert.ok(entryPoints.has('src/main.ts') && entryPoints.has('src/cli/seed.ts'))
})

for (const rule of [...importRules, ...codeRules(entryPoints)]) {
  test(`rule: ${rule.name}`, () => {
    assert.deepEqual(rule.check(files), [])
    const broken = rule.bites.map(({ path, text }) => parseSource(path, text))
    const paths = new Set(broken.map(({ path }) => path))
    const found = rule.check([...files.filter(({ path }) => !paths.has(path)), ...broken])
    for (const { path } of broken) {
      assert.ok(
        found.some((violation) => violation.includes(path)),
        `it does not bite on ${path}`,
      )
    }
  })
}

test('every dependency of package.json is imported', () => {
  const imported = new Set(files.flatMap(({ imports }) => imports.map(({ target }) => target)))
  assert.deepEqual(
    Object.keys(dependencies).filter((name) => !imported.has(name)),
    [],
  )
})

test('loading every file but the entry points writes nothing, opens nothing and ends', () => {
  const paths = files
    .map(({ path }) => path)
    .filter((path) => path.startsWith('src/') && !entryPoints.has(path))
  const program = `for (const path of ${JSON.stringify(paths)}) await import('${root}' + path)`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    timeout: 20_000,
  })
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' })
})

test('comments, strings, templates and regular expressions are no code', () => {
  const samples = [
    ["a('from') // import 'x'", "a('    ')"],
    ['`a \u0024{b({ c: `d` })} e`', '`  \u0024{b({ c: ` ` })}  `'],
    ["/a[/'\\]]'/.test(b) / 2 / c", '/        /.test(b) / 2 / c'],
    ['x /* \' */ = "it\'s"', 'x         = "    "'],
  ] as const
  for (const [text, code] of samples) assert.equal(blankLiterals(text).trimEnd(), code)
})
