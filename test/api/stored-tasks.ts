import { randomUUID } from 'node:crypto'
import { createTasks } from '../../src/tasks/commands.ts'
import type { Task } from '../../src/tasks/task.ts'
import type { Client, TestService } from '../support/app.ts'

/**
 * Stores tasks of a user in one statement: they have one created_at, and only their ids order them. Every third is
 * completed.
 */
export async function storeTasks(service: TestService, user: Client, count: number): Promise<void> {
  const tasks = Array.from({ length: count }, (_, n) => ({
    id: randomUUID(),
    title: `Task ${n}`,
    description: null,
    completed: n % 3 === 0,
  }))
  await createTasks(service.database.scopeFor(user.userId), tasks)
}

type StoredFields = Partial<Omit<Task, 'user_id' | 'version' | 'completed_at'>>

/**
 * Stores tasks with ids and times of the test's own choice, past the API, each at the user's next version; returns them
 * as the API must show them.
 */
export async function storeExactTasks(
  { testDatabase }: TestService,
  { userId }: Client,
  fields: readonly StoredFields[],
): Promise<Task[]> {
  const [counter] = await testDatabase.query<{ before: string }>(
    `insert into app.change_counters as c (user_id, version) values ($1, $2)
    on conflict (user_id) do update set version = c.version + $2 returning version - $2 as before`,
    [userId, fields.length],
  )
  const tasks = fields.map((each, index): Task => {
    const created_at = each.created_at ?? '2026-01-01T00:00:00.000Z'
    const completed = each.completed ?? false
    return {
      id: each.id ?? randomUUID(),
      user_id: userId,
      title: each.title ?? `Task ${index}`,
      description: each.description ?? null,
      completed,
      completed_at: completed ? created_at : null,
      created_at,
      updated_at: each.updated_at ?? created_at,
      version: Number(counter?.before) + index + 1,
    }
  })
  await testDatabase.query(
    `insert into app.tasks (user_id, id, title, description, completed, completed_at, created_at, updated_at, version)
    select user_id, id, title, description, completed, completed_at, created_at, updated_at, version
    from json_populate_recordset(null::app.tasks, $1)`,
    [JSON.stringify(tasks)],
  )
  return tasks
}
