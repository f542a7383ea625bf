import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertPage } from '../support/answers.ts'
import { type Client, makeTask, newUser, startApp } from '../support/app.ts'

const service = await startApp()

async function search(user: Client, q: string, more = ''): Promise<string[]> {
  const { tasks } = assertPage(await user.get(`/api/me/tasks?sort=title&q=${encodeURIComponent(q)}${more}`))
  return tasks.map(({ title }) => title)
}

/** A user with a task of each title. */
async function userWith(...titles: readonly string[]): Promise<Client> {
  const user = service.as(newUser())
  for (const title of titles) await makeTask(user, { title })
  return user
}

test('q finds its text anywhere in the title or in the description, and nothing across the two', async () => {
  const user = await userWith('Buy milk', 'Milkshake', 'Bread')
  await makeTask(user, { title: 'Shop', description: 'bread, oat-MILK and tea' })
  await makeTask(user, { title: 'mi', description: 'lk' })
  assert.deepEqual(await search(user, 'milk'), ['Buy milk', 'Milkshake', 'Shop'])
  assert.deepEqual(await search(user, 'k'), ['Buy milk', 'Milkshake', 'Shop', 'mi'])
  assert.deepEqual(await search(user, 'Bread, oat-milk AND tea'), ['Shop'])
  assert.deepEqual(await search(user, 'milk '), ['Shop'])
  assert.deepEqual(await search(user, ' milk'), ['Buy milk'])
  assert.deepEqual(await search(user, 'null'), [])
})

test('every sign of a q stands for itself', async () => {
  const signs = [
    '100%',
    'a_b',
    'a\\b',
    "it's",
    '"quoted"',
    '$1',
    'x?y',
    '(z)',
    '[ab]',
    '.*',
    '^',
    '|',
    '--',
    'a+b',
    '&c=d',
  ]
  const user = await userWith('100', 'axb', 'ab', 'plain', ...signs)
  for (const sign of signs) assert.deepEqual(await search(user, sign), [sign])
  assert.deepEqual(await search(user, '%'), ['100%'])
  assert.deepEqual(await search(user, '_'), ['a_b'])
  assert.deepEqual(await search(user, '\\'), ['a\\b'])
  assert.deepEqual(await search(user, '%00%'), [])
  assert.deepEqual(await search(user, "' or true --"), [])
})

test('q is compared in the lower case of Unicode', async () => {
  const user = await userWith(
    'ÉCLAIR',
    'éclair',
    'Straße',
    'STRASSE',
    'ЖУК',
    'ΟΔΟΣ',
    'İstanbul',
    'ISTANBUL',
    '𐐀𐐁',
    'Ǆ',
    'ﬁx',
  )
  for (const [q, expected] of [
    ['Éclair', ['ÉCLAIR', 'éclair']],
    ['é', ['ÉCLAIR', 'éclair']],
    // An accent written apart is another text, as is a base letter without one.
    ['e\u0301', []],
    ['eclair', []],
    // Lower case is not case folding: ß stays what it is.
    ['straße', ['Straße']],
    ['STRAẞE', ['Straße']],
    ['strasse', ['STRASSE']],
    ['жук', ['ЖУК']],
    // Letter by letter: no sigma is final, so a part of a word is found in the whole.
    ['οδοσ', ['ΟΔΟΣ']],
    ['ΟΔ', ['ΟΔΟΣ']],
    ['Οδος', []],
    ['istanbul', ['ISTANBUL', 'İstanbul']],
    ['İSTANBUL', ['ISTANBUL', 'İstanbul']],
    ['ıstanbul', []],
    ['𐐨', ['𐐀𐐁']],
    ['ǆ', ['Ǆ']],
    ['FIX', []],
  ] as const) {
    assert.deepEqual((await search(user, q)).toSorted(), expected.toSorted(), q)
  }
})

test('a q may have 1,000 code points, of four bytes each too, and goes on in the Link', async () => {
  const user = service.as(newUser())
  const q = '😀'.repeat(1_000)
  for (const title of ['One', 'Two']) await makeTask(user, { title, description: `${title} ${q}` })
  await makeTask(user, { title: 'Three', description: q.slice(2) })
  assert.deepEqual(await search(user, q), ['One', 'Two'])
  const answer = await user.get(`/api/me/tasks?limit=1&sort=title&q=${encodeURIComponent(q)}`)
  const link = /^<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1] ?? ''
  assert.deepEqual(
    assertPage(await user.get(link)).tasks.map(({ title }) => title),
    ['Two'],
  )
})

test('a Link keeps a q with signs that mean something in a URL', async () => {
  for (const q of ['a?b', 'a&b=c', 'a#b', 'a+b', 'a b', 'a%2Bb', 'é;ü', '<a>"b"']) {
    const user = await userWith(`1 ${q}`, `2 ${q}`, '3 ab')
    for (const written of [encodeURIComponent(q), ...(q === 'a?b' ? [q] : [])]) {
      const answer = await user.get(`/api/me/tasks?q=${written}&sort=title&limit=1`)
      assert.deepEqual(
        assertPage(answer).tasks.map(({ title }) => title),
        [`1 ${q}`],
      )
      const link = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1] ?? ''
      const rest = assertPage(await user.get(link))
      assert.deepEqual(
        rest.tasks.map(({ title }) => title),
        [`2 ${q}`],
        link,
      )
      assert.equal(rest.next, null)
    }
  }
})
