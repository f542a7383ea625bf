import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UserScope } from '../../src/db/database.ts'
import { readList } from '../../src/tasks/list-parameters.ts'
import { listTasks } from '../../src/tasks/list-store.ts'
import { assertError, assertPage, listEtagForm } from '../support/answers.ts'
import { type Answer, type Client, makeTask, newUser, startApp } from '../support/app.ts'

const service = await startApp()
const list = '/api/me/tasks'

function etagOf({ headers }: Answer): string {
  const etag = headers.get('etag') ?? ''
  assert.match(etag, listEtagForm)
  return etag
}

async function ask(user: Client, known: string, path = list): Promise<Answer> {
  return user.get(path, { 'if-none-match': known })
}

function assertNotModified(answer: Answer, etag: string): void {
  assert.equal(answer.status, 304, answer.text)
  assert.equal(answer.text, '')
  assert.equal(answer.headers.get('etag'), etag)
  assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
  assert.ok(answer.headers.get('x-request-id'))
}

test('a list has a weak ETag, which a request can show to be told that nothing has changed', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  for (const query of [
    '',
    '?limit=1',
    '?completed=true',
    '?q=x&sort=title',
    '?count=true',
    '?limit=1&count=true&sort=-updated_at',
  ]) {
    const etag = etagOf(await user.get(list + query))
    assertNotModified(await ask(user, etag, list + query), etag)
    assertNotModified(await user.request('HEAD', list + query, { headers: { 'if-none-match': etag } }), etag)
  }
})

test('whatever the user writes changes the ETag, and what changes nothing keeps it', async () => {
  const user = service.as(newUser())
  const first = await makeTask(user)
  const second = await makeTask(user, { completed: true })
  const path = `${list}/${first.id}`
  let etag = etagOf(await user.get(list))
  for (const [changes, write] of [
    [true, () => user.post(list, { title: 'New' })],
    [true, () => user.patch(path, { title: 'Other' })],
    [false, () => user.patch(path, { title: 'Other' })],
    [false, () => user.patch(path, {})],
    [true, () => user.put(path, { description: 'Text' })],
    [true, () => user.patch(`${path}/complete`)],
    [false, () => user.patch(`${path}/complete`, { completed: true })],
    [false, () => user.post(list, { id: second.id, title: second.title, completed: true })],
    [false, () => user.post(list, { title: '' })],
    [false, () => user.patch(path, { title: 'x' }, { 'if-match': '"999"' })],
    [true, () => user.delete(path)],
    [false, () => user.delete(path)],
    [false, () => service.as(newUser()).post(list, { title: 'Of another user' })],
  ] as const) {
    await write()
    const answer = await ask(user, etag)
    if (!changes) {
      assertNotModified(answer, etag)
      continue
    }
    assertPage(answer)
    assert.notEqual(etagOf(answer), etag, String(write))
    etag = etagOf(answer)
  }
})

test('If-None-Match may name many tags, weak or strong, or any', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  const etag = etagOf(await user.get(list))
  const strong = etag.slice(2)
  for (const known of [
    etag,
    strong,
    ` ${etag} `,
    `"x", ${etag}`,
    `${etag},W/"y"`,
    `"", W/"", ${strong} ,"z"`,
    '*',
    ' * ',
  ]) {
    assertNotModified(await ask(user, known), etag)
  }
})

test('tags that are not those of the list do not match, however odd', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  const etag = etagOf(await user.get(list))
  const [, tag] = /\.([\w-]{8})"$/.exec(etag) ?? []
  const before = `W/"0.${tag}"`
  for (const known of [
    before,
    '"1"',
    'W/"1"',
    'W/"1."',
    `W/".${tag}"`,
    `W/"01.${tag}"`,
    `W/"1.${tag}x"`,
    `W/"-1.${tag}"`,
    `W/"1.0.${tag}"`,
    `W/"${'9'.repeat(900)}.${tag}"`,
    `W/"${2n ** 63n}.${tag}"`,
    `W/"${2n ** 53n}.${tag}"`,
    `W/"1e0.${tag}"`,
    '"*"',
    '"null"',
    `"1,2", "${'a'.repeat(500)}"`,
    `"${'ÿ'.repeat(100)}"`,
    Array.from({ length: 45 }, (_, n) => `W/"${n + 2}.${tag}"`).join(', '),
  ]) {
    assert.equal(assertPage(await ask(user, known)).tasks.length, 1, known)
  }
})

test('the tag of another user at the same change number does not match: a browser may have their list', async () => {
  const [one, other] = [service.as(newUser()), service.as(newUser())]
  for (const user of [one, other]) await makeTask(user)
  const [etag, others] = [etagOf(await one.get(list)), etagOf(await other.get(list))]
  assert.equal(etag.split('.')[0], others.split('.')[0])
  assert.notEqual(etag, others)
  assert.equal(assertPage(await ask(one, others)).tasks[0]?.user_id, one.userId)
  assertNotModified(await ask(one, `${others}, ${etag}`), etag)
})

test('a user who never wrote has an ETag too, which the first task changes', async () => {
  const user = service.as(newUser())
  const answer = await user.get(`${list}?count=true`)
  assert.deepEqual(assertPage(answer), { tasks: [], next: null, total: 0 })
  const etag = etagOf(answer)
  assertNotModified(await ask(user, etag), etag)
  assertNotModified(await ask(user, '*'), etag)
  assertNotModified(await ask(user, etag, `${list}?count=true`), etag)
  await makeTask(user)
  assert.equal(assertPage(await ask(user, etag)).tasks.length, 1)
})

test('an If-None-Match that is no list of quoted tags is 422, before the cursor is looked at', async () => {
  const user = service.as(newUser())
  for (const known of ['1', 'W/1', '"1" "2"', 'w/"1"', '*, "1"', '"1', `"${'1'.repeat(1_000)}"`]) {
    const answer = await ask(user, known, `${list}?cursor=x`)
    const code = known.length > 1_000 ? 'maxLength' : 'format'
    assertError(answer, 422, 'VALIDATION_FAILED', [['headers/if-none-match', code]])
  }
})

test('a bad cursor is refused, whatever the client knows', async () => {
  const user = service.as(newUser())
  const etag = etagOf(await user.get(list))
  assertError(await ask(user, etag, `${list}?cursor=x`), 400, 'INVALID_CURSOR')
  assertError(await ask(user, '*', `${list}?cursor=x`), 400, 'INVALID_CURSOR')
})

test('a write between the page and its total makes the total newer, or the list one that the client knows', async () => {
  const user = service.as(newUser())
  await makeTask(user)
  const scope = service.database.scopeFor(user.userId)
  // The two statements of one round trip, with a write of somebody else in between.
  const interrupted: UserScope = {
    ...scope,
    async runAll([first, ...rest]) {
      const before = first === undefined ? [] : await scope.runAll([first])
      await makeTask(user)
      return [...before, ...(await scope.runAll(rest))] as never
    },
  }
  const page = { after: undefined, limit: 10, count: true }
  const { tasks, ...found } = await listTasks(interrupted, readList({}), { ...page, known: [] })
  assert.deepEqual([tasks.length, found], [1, { counter: 1, total: 2 }])
  assert.deepEqual(await listTasks(interrupted, readList({}), { ...page, known: [3] }), {
    counter: 3,
    tasks: [],
    total: 0,
  })
})

test('a list never shows less than its ETag says, whatever is written meanwhile', async () => {
  const user = service.as(newUser())
  let writing = true
  const writers = Array.from({ length: 3 }, async () => {
    while (writing) await makeTask(user)
  })
  for (let n = 0; n < 60; n++) {
    const answer = await user.get(`${list}?limit=20&count=true`)
    const { tasks, total = 0 } = assertPage(answer)
    const counter = Number(listEtagForm.exec(etagOf(answer))?.[1])
    // Each task took one number, and one of the newest that of the ETag: the two are of one moment.
    assert.equal(Math.max(0, ...tasks.map(({ version }) => version)), counter)
    assert.ok(total >= counter, `${total} counted at ${counter}`)
  }
  writing = false
  await Promise.all(writers)
})
