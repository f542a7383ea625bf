import { randomUUID } from 'node:crypto'
import { createTasks } from '../../src/tasks/commands.ts'
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
