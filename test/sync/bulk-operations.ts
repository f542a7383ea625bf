import { randomUUID } from 'node:crypto'
import type { Task } from '../../src/tasks/task.ts'
import type { KnownTask } from './account.ts'
import type { Reply } from './exchange.ts'
import type { Writer } from './writer.ts'

/** One operation of a batch, and what may become of it. */
type Item = {
  readonly json: Record<string, unknown>
  readonly task: KnownTask | undefined
  /** Whether it succeeds when the task is where it is thought to be. */
  readonly holds: boolean
  readonly apply: (task: Task) => void
}

/** A batch of operations on different tasks. */
export async function batch(writer: Writer): Promise<void> {
  const { account, random } = writer
  const mode = random.pick(['atomic', 'independent'])
  const start = account.journal.tick()
  const targets = new Set<KnownTask>()
  const items = Array.from({ length: random.integer(1, 8) }, () => newItem(writer, targets))
  const json = { mode, operations: items.map((item) => item.json) }
  const wereUncertain = new Set([...targets].filter(({ uncertain }) => uncertain))
  for (const task of targets) task.busy = true
  const reply = await writer.send({ method: 'POST', path: '/tasks/batch', json }, 'keyed')
  const taken = account.removedSince(start)
  const mayBeGone = (task: KnownTask | undefined) =>
    task !== undefined && (task.uncertain || taken.everything || (taken.trash && task.state === 'trash'))
  const mayFail = items.some(({ holds, task }) => !holds || mayBeGone(task))
  if (reply.status === 200) {
    for (const [index, item] of items.entries())
      judge(writer, item, reply.body.data[index], mayBeGone(item.task))
  } else if (mode !== 'atomic' || !mayFail || ![404, 412].includes(reply.status)) {
    writer.wrong(reply, 'the answer to this batch')
  }
  // Those that it created are among them by now.
  for (const task of targets) {
    const wasTaken = taken.everything || (taken.trash && task.state === 'trash')
    task.uncertain = task.state !== 'gone' && (wasTaken || wereUncertain.has(task))
    task.busy = false
    task.touchedAt = account.journal.tick()
  }
}

function newItem(writer: Writer, targets: Set<KnownTask>): Item {
  const { account, random } = writer
  const task = random.any(writer.own)
  if (task === undefined || targets.has(task) || random.chance(0.4)) {
    const fields = writer.newFields()
    const id = random.chance(0.5) ? randomUUID() : undefined
    const apply = (made: Task) => {
      if (id !== undefined && made.id !== id) account.fail('answer', `${made.id} was to be ${id}`)
      const known = writer.adopt(made)
      targets.add(known)
      writer.shows(known, made, fields, 'created by a batch')
    }
    return {
      json: { op: 'create', task: { ...(id && { id }), ...fields } },
      task: undefined,
      holds: true,
      apply,
    }
  }
  targets.add(task)
  const isStale = random.chance(0.1)
  const version =
    task.version !== undefined && random.chance(0.5) ? task.version + Number(isStale) : undefined
  const holds = task.state === 'live' && (version === undefined || !isStale)
  const common = { id: task.id, ...(version !== undefined && { if_version: version }) }
  if (random.chance(0.7)) {
    const changes = random.chance(0.5) ? { title: writer.newTitle() } : { completed: !task.completed }
    const apply = (shown: Task) => void writer.shows(task, shown, changes, 'updated by a batch')
    return { json: { op: 'update', ...common, changes }, task, holds, apply }
  }
  const apply = (shown: Task) => {
    writer.shows(task, shown, {}, 'deleted by a batch')
    task.state = 'trash'
  }
  return { json: { op: 'delete', ...common }, task, holds, apply }
}

type ItemReply = { readonly status: number; readonly task?: Task; readonly error?: { readonly code: string } }

function judge(
  writer: Writer,
  { task, holds, apply, json }: Item,
  reply: ItemReply,
  mayBeGone: boolean,
): void {
  if (reply.task !== undefined && holds) {
    apply(reply.task)
    return
  }
  const isGone = reply.status === 404 && (mayBeGone || task?.state !== 'live')
  if (isGone && task?.state === 'live') task.state = 'gone'
  if (isGone || (reply.status === 412 && !holds && task?.state === 'live')) return
  writer.account.fail('answer', `${JSON.stringify(json)} in a batch got ${JSON.stringify(reply)}`)
}

type Line = Task & { readonly deleted_at: string | null }

/** What an import compares; the service gives the version anew. */
function contentOf({ user_id: _, version: __, ...content }: Line): string {
  return JSON.stringify(content)
}

/** Lines of earlier exports, by writer and id: they bring tasks back as they were. */
const kept = new WeakMap<Writer, Map<string, Line>>()

/** An export: one snapshot, in which each of the writer's own tasks is as it knows it. */
async function exportLines(writer: Writer): Promise<Map<string, Line>> {
  const { account } = writer
  const start = account.journal.tick()
  const before = new Map(writer.own.map((task) => [task, task.state]))
  const reply = await writer.send({ method: 'GET', path: '/export' }, 'once')
  if (reply.status !== 200) writer.wrong(reply, 'an export')
  const all: Line[] = reply.text
    .split('\n')
    .filter(Boolean)
    .map((text) => JSON.parse(text))
  const lines = new Map(all.map((line) => [line.id, line]))
  if (lines.size < all.length) account.fail('answer', `${writer.name} found a task twice in an export`)
  const taken = account.removedSince(start)
  for (const [task, known] of before) {
    const line = lines.get(task.id)
    const state = line === undefined ? 'gone' : line.deleted_at === null ? 'live' : 'trash'
    const isTaken = task.uncertain || taken.everything || (taken.trash && known === 'trash')
    if (state !== known && !(state === 'gone' && isTaken))
      account.fail('answer', `the export has ${JSON.stringify(line)} for ${JSON.stringify(task)}`)
    if (line !== undefined && (line.title !== task.title || line.completed !== task.completed))
      account.fail('answer', `the export has ${JSON.stringify(line)} for ${JSON.stringify(task)}`)
  }
  return lines
}

/** An import of lines of the writer's own tasks, present or past, some of them changed, and of new ones. */
export async function transfer(writer: Writer): Promise<void> {
  const { account, random } = writer
  const start = account.journal.tick()
  const present = await exportLines(writer)
  const past = kept.get(writer) ?? new Map<string, Line>()
  kept.set(writer, past)
  const chosen = new Map<KnownTask, Line>()
  for (const task of writer.own) {
    const line = present.get(task.id)
    const old = past.get(task.id)
    if (line !== undefined) past.set(task.id, line)
    const source = random.chance(0.5) ? (line ?? old) : (old ?? line)
    if (source === undefined || !random.chance(0.3)) continue
    chosen.set(task, random.chance(0.4) ? { ...source, title: writer.newTitle() } : source)
  }
  const anonymous = Array.from({ length: random.integer(0, 3) }, () => ({ title: writer.newTitle() }))
  const expected = { created: anonymous.length, updated: 0, unchanged: 0 }
  for (const line of chosen.values()) {
    const now = present.get(line.id)
    expected[now === undefined ? 'created' : contentOf(now) === contentOf(line) ? 'unchanged' : 'updated']++
  }
  const isDryRun = random.chance(0.2)
  for (const { title } of isDryRun ? [] : anonymous) account.anonymous.set(title, 'at most once')
  const raw = [...chosen.values(), ...anonymous].map((line) => `${JSON.stringify(line)}\n`).join('')
  const headers = { 'content-type': 'application/x-ndjson' }
  const request = { method: 'POST', path: `/import${isDryRun ? '?dry_run=true' : ''}`, raw, headers }
  const judged = (reply: Reply) => {
    if (reply.status !== 200 || reply.body.data.lines !== chosen.size + anonymous.length)
      return writer.wrong(reply, 'the answer to an import')
    // What was taken out of the trash between the export and the import counts otherwise.
    const { created, updated, unchanged } = reply.body.data
    const isSame = JSON.stringify({ created, updated, unchanged }) === JSON.stringify(expected)
    if (!isSame && !account.removedSince(start).trash) writer.wrong(reply, JSON.stringify(expected))
    return 'proves'
  }
  const reply = await writer.on([...chosen.keys()], request, 'once', (answer, task) => {
    const verdict = judged(answer)
    if (isDryRun || answer.status !== 200) return 'allows'
    applyLine(task, chosen.get(task), account.removedSince(start).trash ? undefined : present.get(task.id))
    return verdict
  })
  if (chosen.size === 0) judged(reply)
  if (isDryRun || reply.status !== 200 || account.removedSince(start).everything) return
  for (const { title } of anonymous) account.anonymous.set(title, 'once')
}

/** @param before the line as it was exported, if nothing can have come in between */
function applyLine(task: KnownTask, line: Line | undefined, before: Line | undefined): void {
  if (line === undefined) return
  const { title, description, completed } = line
  const isSame = before !== undefined && contentOf(before) === contentOf(line)
  // The answer does not tell the version of what it wrote.
  const version = isSame ? task.version : undefined
  Object.assign(task, { title, description, completed, version })
  task.state = line.deleted_at === null ? 'live' : 'trash'
}

const sorts = ['created_at', '-created_at', 'updated_at', '-updated_at', 'title', '-title'] as const

/** Reads a list to its end: what is the writer's own does not change meanwhile, and must be there once. */
export async function walk(writer: Writer): Promise<void> {
  const { account, random } = writer
  const start = account.journal.tick()
  const before = new Map(writer.own.map((task) => [task, task.state]))
  const completed = random.pick([undefined, undefined, true, false])
  const filter = new URLSearchParams({
    sort: random.pick(sorts),
    ...(completed !== undefined && { completed: String(completed) }),
  })
  const found = new Map<string, number>()
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = new URLSearchParams({ limit: String(random.integer(1, 40)), ...(cursor && { cursor }) })
    const reply = await writer.send({ method: 'GET', path: `/tasks?${filter}&${page}` }, 'once')
    if (reply.status !== 200) return void writer.wrong(reply, 'a page of a list')
    const tasks: Task[] = reply.body.data
    for (const task of tasks) {
      account.saw(task, 'list')
      found.set(task.id, (found.get(task.id) ?? 0) + 1)
      if (completed !== undefined && task.completed !== completed)
        account.fail('answer', `completed=${completed} lists ${JSON.stringify(task)}`)
    }
    cursor = reply.body.meta.next_cursor
  }
  const taken = account.removedSince(start)
  for (const [task, known] of before) {
    const isListed = known === 'live' && (completed ?? task.completed) === task.completed
    const times = found.get(task.id) ?? 0
    const mayBeMissing = task.uncertain || taken.everything
    if (times !== Number(isListed) && !(times === 0 && mayBeMissing))
      account.fail('answer', `a walk (${filter}) met ${JSON.stringify(task)} ${times} times`)
  }
}
