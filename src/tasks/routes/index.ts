import type { App } from '../../http/server.ts'
import { registerIdempotency } from '../../idempotency/idempotent-routes.ts'
import { TaskSchema } from '../schema.ts'
import { registerBatchTasks } from './batch-tasks.ts'
import { registerCompleteTask } from './complete-task.ts'
import { registerCreateTask } from './create-task.ts'
import { registerDeleteTask } from './delete-task.ts'
import { registerGetTask } from './get-task.ts'
import { registerListTasks } from './list-tasks.ts'
import { registerReplaceTask } from './replace-task.ts'
import type { TaskRouteDependencies } from './shared.ts'
import { registerUpdateTask } from './update-task.ts'

/** The operations on tasks, a file each. */
export function registerTaskRoutes(app: App, dependencies: TaskRouteDependencies): void {
  app.addSchema(TaskSchema)
  registerIdempotency(app, dependencies.database)
  registerListTasks(app, dependencies)
  registerCreateTask(app, dependencies)
  registerGetTask(app, dependencies)
  registerReplaceTask(app, dependencies)
  registerUpdateTask(app, dependencies)
  registerCompleteTask(app, dependencies)
  registerDeleteTask(app, dependencies)
  registerBatchTasks(app, dependencies)
}
