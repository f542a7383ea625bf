import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Task } from '../../src/tasks/task.ts'
import { assertError, assertPage, assertTask } from '../support/answers.ts'
import { makeTask, newUser, startApp } from '../support/app.ts'

const service = await startApp()

const lowest = 1
const highest = 0x10ffff
const isSurrogate = (code: number) => code >= 0xd800 && code <= 0xdfff

/** Code points that a text may hold, those that tend to be mishandled more often than their share. */
const codePoint = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: lowest, max: highest }).filter((code) => !isSurrogate(code)) },
  { weight: 2, arbitrary: fc.integer({ min: lowest, max: 0x2ff }) },
  { weight: 2, arbitrary: fc.integer({ min: 0x10000, max: highest }) },
  { weight: 1, arbitrary: fc.integer({ min: 0x300, max: 0x36f }) },
  { weight: 1, arbitrary: fc.integer({ min: 0x590, max: 0x8ff }) },
  { weight: 1, arbitrary: fc.integer({ min: 0xfff0, max: 0xffff }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      0x20,
      0xa0,
      0x85,
      0x180e,
      0x200b,
      0x200d,
      0x2028,
      0x2029,
      0x202e,
      0x3000,
      0xfeff,
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...'"\'\\%_$\n\r\t/<&\u007f'.split('').map((each) => each.charCodeAt(0))),
  },
)

function text(minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.array(codePoint, { minLength, maxLength }).map((codes) => String.fromCodePoint(...codes))
}

const title = text(1, 255).filter((each) => each.trim() !== '')
const description = fc.oneof(text(0, 300), fc.constant(null))

/** Puts a piece into a text at a place given as a share of its length, never within a surrogate pair. */
function insert(base: string, share: number, piece: string): string {
  const letters = Array.from(base)
  letters.splice(Math.floor(share * letters.length), 0, piece)
  return letters.join('')
}

const share = fc.double({ min: 0, max: 1, noNaN: true })

/** What no text may hold: NUL, or half of a pair where the other half does not follow. */
const forbiddenPiece = fc.oneof(
  fc.constant('\0'),
  fc.integer({ min: 0xd800, max: 0xdbff }).map((code) => `${String.fromCharCode(code)}.`),
  fc.integer({ min: 0xdc00, max: 0xdfff }).map((code) => `.${String.fromCharCode(code)}`),
)

const poisoned = (base: fc.Arbitrary<string>) =>
  fc.tuple(base, share, forbiddenPiece).map(([whole, place, piece]) => insert(whole, place, piece))

test('any text that the rules allow comes back unaltered from create, get and list', async () => {
  await fc.assert(
    fc.asyncProperty(title, description, fc.boolean(), async (sent, body, completed) => {
      const user = service.as(newUser())
      const fields = { title: sent.trim(), description: body, completed }
      const created = assertTask(
        await user.post('/api/me/tasks', { title: sent, description: body, completed }),
        201,
        fields,
      )
      assert.deepEqual(assertTask(await user.get(`/api/me/tasks/${created.id}`), 200), created)
      assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [created])
    }),
    { numRuns: 150 },
  )
})

test('any text that the rules allow comes back unaltered from an update, and an equal one changes nothing', async () => {
  const user = service.as(newUser())
  const { id } = await makeTask(user)
  const path = `/api/me/tasks/${id}`
  await fc.assert(
    fc.asyncProperty(title, description, fc.constantFrom('PUT', 'PATCH'), async (sent, body, method) => {
      const json = { title: sent, description: body }
      const changed = assertTask(await user.request(method, path, { json }), 200, {
        title: sent.trim(),
        description: body,
      })
      assert.deepEqual(assertTask(await user.request(method, path, { json }), 200), changed)
      assert.deepEqual(assertTask(await user.get(path), 200), changed)
    }),
    { numRuns: 100 },
  )
})

test('any user id that a token can name owns what is created with it, in the path too', async () => {
  const userId = fc
    .tuple(text(0, 222), fc.uuid())
    .map(([front, unique]) => `${front}${unique.replaceAll('-', '')}`)
  await fc.assert(
    fc.asyncProperty(userId, async (each) => {
      const user = service.as(each)
      const answer = await user.post(`/api/${encodeURIComponent(each)}/tasks`, { title: 'x' })
      const task = assertTask(answer, 201, { user_id: each })
      assert.deepEqual(assertTask(await user.get(answer.headers.get('location') ?? ''), 200), task)
    }),
    { numRuns: 100 },
  )
})

test('any text with NUL or a lone surrogate is refused with 422, and nothing is stored', async () => {
  const user = service.as(newUser())
  const stored = await makeTask(user, { title: 'Stored', description: 'Text' })
  const path = `/api/me/tasks/${stored.id}`
  await fc.assert(
    fc.asyncProperty(poisoned(text(0, 250)), poisoned(text(0, 300)), async (badTitle, badDescription) => {
      const titleProblem = ['/title', 'pattern'] as const
      const descriptionProblem = ['/description', 'pattern'] as const
      for (const [json, ...problems] of [
        [{ title: badTitle }, titleProblem],
        [{ title: 'x', description: badDescription }, descriptionProblem],
        [{ title: badTitle, description: badDescription }, titleProblem, descriptionProblem],
      ] as const) {
        for (const [method, target] of [
          ['POST', '/api/me/tasks'],
          ['PUT', path],
          ['PATCH', path],
        ] as const) {
          assertError(await user.request(method, target, { json }), 422, 'VALIDATION_FAILED', problems)
        }
      }
    }),
    { numRuns: 40 },
  )
  assert.deepEqual(assertPage(await user.get('/api/me/tasks')).tasks, [stored])
  assert.equal((await makeTask(user)).version, 2)
})

test('a text is refused for its length exactly when it has too many code points', async () => {
  const user = service.as(newUser())
  await fc.assert(
    fc.asyncProperty(text(250, 262), async (sent) => {
      const length = [...sent.trim()].length
      const answer = await user.post('/api/me/tasks', { title: sent })
      if (length === 0) assertError(answer, 422, 'VALIDATION_FAILED', [['/title', 'minLength']])
      else if (length > 255) assertError(answer, 422, 'VALIDATION_FAILED', [['/title', 'maxLength']])
      else assertTask(answer, 201, { title: sent.trim() } satisfies Partial<Task>)
    }),
    { numRuns: 100 },
  )
})
